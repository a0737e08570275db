"""A build, stage by stage, until the mix is sealed."""
