"""The words of the sample: hand-written lists of everyday English, and stems that combine into
names and compounds.

All text of the sample is made from these lists, so none of it was written by anybody else. Within
each list the order is the order of frequency that `tests.sample.prose` gives to its words.
"""

from __future__ import annotations

NOUNS = tuple(
    """
    river house garden market bridge letter winter village road field stone window school harbour
    forest machine teacher engine mountain island kitchen station library museum farmer valley
    theatre doctor signal answer question method record result sample measure model pattern surface
    layer border corner season summer morning evening journey visitor student writer painter builder
    sailor merchant neighbour council committee society company office workshop factory storm cloud
    shadow candle lamp lantern mirror table chair cabinet drawer basket bottle barrel bucket kettle
    blanket carpet curtain ladder hammer needle button pocket jacket ribbon feather blossom branch
    meadow orchard vineyard barn stable fence gate tower castle chapel temple tunnel canal channel
    reservoir fountain glacier desert crater beach cliff cave lagoon delta estuary marsh pond stream
    waterfall planet comet orbit telescope compass map chart diary notebook poem novel story legend
    riddle song melody violin piano trumpet drum orchestra painting statue photograph camera film
    newspaper magazine dictionary catalogue archive ticket passenger train ferry wagon bicycle lorry
    aeroplane runway cargo parcel price budget invoice contract reward tax loan profit account
    ledger clerk mayor judge lawyer witness soldier captain engineer architect chemist physicist
    botanist gardener baker butcher tailor carpenter potter weaver miner shepherd fisherman
    librarian nurse surgeon patient remedy symptom muscle bone nerve lung kidney cell seed root leaf
    fruit grain apple pear cherry lemon onion carrot potato cabbage pepper mushroom biscuit pudding
    pancake soup sauce butter cheese horse donkey goat rabbit squirrel badger otter fox beaver heron
    falcon sparrow owl swan duck goose salmon trout lobster beetle butterfly spider battery circuit
    magnet lens prism pendulum lever pulley spring valve piston turbine generator transistor antenna
    satellite sensor crystal mineral metal alloy polymer solvent mixture solution reaction catalyst
    electron proton photon wave frequency voltage current resistor theorem proof equation variable
    fraction triangle circle polygon matrix vector theory hypothesis experiment observation estimate
    average sequence parameter network program computer keyboard screen printer server file folder
    password message language sentence word alphabet
    """.split()
)

VERBS = tuple(
    """
    describe use follow carry open visit record measure compare repair explain collect notice change
    improve protect support publish examine replace remove return remember discover observe design
    paint clean move finish study prepare deliver receive approve reject question answer inspect
    restore borrow purchase admire mention confirm expect avoid reduce increase limit extend combine
    connect separate adjust calibrate test evaluate simulate estimate calculate divide multiply
    balance weigh count label sketch photograph translate review revise recommend organise manage
    finance decorate examine rename reopen share store load transport harvest water cook boil chill
    melt bake taste fold wash heat cool compress filter mix pour mark trace cross reach enter
    approach surround cover touch lift pull push turn anchor launch guide rescue welcome invite
    thank trust doubt ignore challenge defend
    """.split()
)  # transitive; each takes -s, -ed and -ing by the rules of `tests.sample.prose`

ADJECTIVES = tuple(
    """
    old new small large quiet long short early late common local public private simple careful
    strange famous ancient modern narrow wide deep shallow bright dark warm cold heavy light empty
    full broken steady gentle rough smooth sharp dull clean dusty wooden golden silver copper green
    yellow scarlet grey hollow round square curved straight northern southern eastern western
    coastal rural urban distant nearby central outer inner upper lower annual monthly weekly daily
    rapid slow sudden gradual regular irregular average typical unusual rare valuable cheap costly
    useful reliable fragile durable flexible rigid linear random uniform stable neutral positive
    negative parallel vertical horizontal thermal electric magnetic optical chemical mechanical
    digital statistical
    """.split()
)

ADVERBS = tuple(
    """
    slowly carefully quietly often rarely usually recently finally gradually suddenly together twice
    clearly easily partly nearly exactly quickly briefly kindly proudly safely openly separately
    repeatedly eventually
    """.split()
)

MONTHS = (
    "January February March April May June July August September October November December".split()
)
FIRST_NAMES = (
    "Anna Thomas Élise Henrik Søren Marta José Irena Tobias Zoë Ruth Oskar Chloé Peter Amina Björn"
    " Lucía Edith Walter Nadia Françoise Viktor Clara Émile Greta Hugo Ines Jonas Karin Leo Mina"
    " Noé Olga Pavel Rosa Stefan Tilda Ulla Vera Yusuf"
).split()

# First and second parts of place names, surnames and compounds: Ashford, Marlowick, stonegate,
# riverhouse ...
PLACE_STARTS = (
    "Ash Mar Hol Bren Cald Dun Elm Far Glen Hart Ivel Kel Lang Mill Nor Oak Pen Quarr Raven Sel"
    " Thorn Ul Ver Wes Yar Bir Cor Dray Ester Fen Gris Hazel Kings Loch Mor Nether Otter Pol Rush"
    " Stan Tarn Wind"
).split()
PLACE_ENDS = (
    "ford wick ton by ham bury mouth dale combe stead worth ley bridge haven minster field gate"
    " port shaw well".split()
)
SURNAME_ENDS = (
    "man son er wright ley ton well ford stone berg sen ström möller ez ard ville kamp dottir wood"
    " field".split()
)
COMPOUND_STARTS = (
    "stone river water wind wood iron salt snow rain sand sun moon star fire glass corn horse sheep"
    " boat rope sail clock paper ink book road rail mill bell gold silver bone milk honey wax wool"
    " silk barn moss fern reed thorn oak birch willow"
).split()
COMPOUND_ENDS = (
    "gate house field work yard mill keeper maker wheel path bank bridge light stone board case box"
    " line mark side way top bed stand fall land shed song craft"
).split()
SCIENCE_STARTS = (
    "hydro thermo photo electro geo bio cryo micro macro poly iso hetero mono chrono spectro"
    " magneto baro aero litho".split()
)
SCIENCE_ENDS = (
    "graph meter scope metry lysis genesis morph phase gram plasma sphere tron kinesis stat logy"
    " chrome".split()
)

# short, invented, and spread over scripts, marks, symbols and spaces that tokenizers and
# normalisers treat apart
UNICODE_PHRASES = (
    "at the café “L’Été bleu”",
    "near the Straße zum alten Hafen",
    "called 川辺の家 in the old register",
    "marked 東の橋 on the map",
    "known as 강가의 집 to the neighbours",
    "signed дом у реки on the back",
    "under the name Το παλιό λιμάνι",
    "with a smile 🙂 in the margin",
    "🌧️ all week long",
    "by the flag 🏴‍☠️ of the children’s boat",
    "at 21\u00a0°C and 40\u00a0% humidity",
    "for 1\u00a0250\u00a0crowns – or so the ledger says",
    "between 3 × 10⁴ and 5 × 10⁴ steps",
    "where α ≤ β and Δx → 0",
    "a naïve façade, they said…",
    "in the smørrebrød shop of Ærø",
    "with ½ cup of crème fraîche",
    "under the sign “Żółta łódka”",
    "in the room بيت النهر upstairs",
)

# Items of two public lists of agents (US Federal Select Agents and Toxins; Australia Group control
# list): names and nothing else, for tests of blocklists.
LISTED_NAMES = (
    "African swine fever virus",
    "Avian influenza virus",
    "Bacillus anthracis",
    "Bluetongue virus",
    "Brucella suis",
    "Classical swine fever virus",
    "Coxiella burnetii",
    "Foot-and-mouth disease virus",
    "Francisella tularensis",
    "Hendra virus",
    "Lassa virus",
    "Lumpy skin disease virus",
    "Newcastle disease virus",
    "Nipah virus",
    "Rabies virus",
    "Rift Valley fever virus",
    "Rinderpest virus",
    "Saxitoxin",
    "Tetrodotoxin",
    "Yersinia pestis",
)
