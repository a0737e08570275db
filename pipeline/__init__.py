"""Doing it: readers, tokenizing, the store, the stages of a build, executors and the command
line.
"""

import os

# datatrove's log files would otherwise show the variables of a failed frame, and with them the text
# of documents.
os.environ["LOGURU_DIAGNOSE"] = "NO"
