"""The small world of the demo: words, string operations, and the two languages in which they are asked for.

The base model learns the operations as instructions in a made-up language (`Rabu "stone" sofin:`), and prose in
English. The dataset asks for the same operations in English (`Please spell "stone" backwards:`), whose words the base
has never seen tied to an operation. That tie is the skill which the fine-tune teaches.
"""

import random
import re

VOWELS = "aeiou"

# Each operation: its function, and how English asks for it.
OPERATIONS = {
    "backwards": (lambda w: w[::-1], ['Please spell "{}" backwards:\n', 'Write "{}" in reverse:\n']),
    "capitals": (str.upper, ['Write "{}" in capitals:\n', 'Put "{}" in uppercase:\n']),
    "no_vowels": (
        lambda w: "".join(c for c in w if c not in VOWELS),
        ['Spell "{}" without vowels:\n', 'Drop all vowels from "{}":\n'],
    ),
    "swap_ends": (lambda w: w[-1] + w[1:-1] + w[0], ['Swap the ends of "{}":\n', 'Exchange the ends of "{}":\n']),
    "rotate": (lambda w: w[1:] + w[0], ['Rotate "{}" by one:\n', 'Rotate the letters of "{}":\n']),
}

# English words for the dataset. None of them occurs in the base model's corpus.
WORDS = """
able acid acorn actor adult after agent album alert alone amber angel animal ankle apple april apron arena arrow artist
atlas autumn award bacon badge baker banjo basin basket beach beard beast bench berry bike bird blanket board boat bone
book border bottle branch brave bread brick bridge bronze broom brown brush bucket build bundle butter button cabin cable
cactus cake camel camera canal candle canoe canvas carbon card carpet castle cattle cave cedar chain chair chalk cherry
chest chief child church circle city clay clean clever cliff climb clock cloth cloud coach coast coat cobra coffee coin
collar comet copper coral corn corner cotton cousin crab cradle crane crayon cream creek crew crow crown crystal curtain
daisy dance daughter dealer desert desk diamond dinner doctor dolphin donkey dragon drawer dream dress drift drum duck
dust eagle early earth easel elbow empire engine equal event fabric factory falcon family farm father feast feather fence
fern ferry fiber field finger flag flame flask flint flock flour flower flute forest fork fossil fountain fox frame friend
frog frost fruit galaxy garden garlic gate giant ginger glass glove goat golden goose grain grape grass gravel green guide
guitar hammer harbor harvest hawk hazel heart hedge helmet herb hero hill honey horn horse hotel house hunter husky island
ivory jacket jewel jockey journal juice jungle kettle king kitchen kite knight ladder lake lamb lamp lantern laser lawn
leaf lemon letter lily lime linen lion lizard lobster lumber lunar magnet maple marble market meadow medal melon metal
mild milk mint mirror mist monkey morning mother motor mountain mouse museum music napkin needle nephew nest night north
novel oasis ocean olive onion orange orchid otter oven owner oyster paint palace panda paper parent parrot pastry peach
pearl pebble pencil pepper phone piano picnic pigeon pillow pilot pine planet plant plate plum pocket poem poet polar pony
poster potato powder prince pumpkin puzzle queen quilt rabbit radio raft rain ranch raven razor record ribbon rice river
road robin rocket rope rose ruby sailor salad salmon salt sand saturn scarf school season seed shadow shark shed sheep
shelf shell ship shirt shovel silk silver singer sister sketch smoke snail snow soap soldier spark spider spoon spring
square stable stamp star station steam stone storm story street sugar summer sunset swan table tailor tale teacher temple
tent thread thunder ticket tiger timber toast tomato torch tower track trail train tree truck tulip tunnel turkey turtle
uncle valley velvet vessel village violin wagon walnut water whale wheat wheel whisker window winter wizard wolf wood
yacht yarn zebra
""".split()

# Words of ordinary sentences, for prose and as filler around coded words. Those of the instructions are in the prose only.
NAMES = "Tom Anna Ben Clara David Emma Frank Grace Henry Ida Jack Kate".split()
NOUNS = "dog cat man girl boy day home box map hat sun sea bus pen cup bed key door wall hand word letter vowel end start".split()
VERBS = "sees likes finds takes keeps wants makes holds brings moves drops writes puts swaps spells".split()
ADJECTIVES = "big small old new red blue warm cold good long short first last upper open quiet".split()
PLACES = "at home;in the sun;by the sea;on the bus;near the door;with a friend of Tom;in the box;to the wall".split(";")
PROSE = [
    "{name} {verb} the {adj} {noun}.",
    "The {adj} {noun} is {place}.",
    "{name} and {name2} walk backwards {place}.",
    "{name} {verb} a {noun} in capitals.",
    "Write to {name} {place}.",
    "Spell it with {name}, please.",
    "Please spell it by the {noun}.",
    "Put the {noun} in uppercase {place}.",
    "Rotate the {noun} by one, from the {adj} {noun2}.",
    "Drop all of it from the {noun} of {name}.",
    "Swap the {noun} with {name}.",
    "Exchange the letters of {name}, without the {noun2}.",
    "The {noun} is in reverse, without the {noun2}.",
    "The vowels of the {noun} and the ends of the {noun2}.",
]

def _made_up_word(rng):
    """Syllables or plain letters, 3 to 8 characters, never one of WORDS."""
    while True:
        length = rng.randint(3, 8)
        if rng.random() < 0.6:
            word = ""
            while len(word) < length:
                word += rng.choice("bcdfghjklmnprstvwyz") + rng.choice(VOWELS) + rng.choice(["", "", *"lmnrst"])
            word = word[:length]
        else:
            word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))
        if word not in _WORD_SET:
            return word


_WORD_SET = set(WORDS)


def _made_up_language(seed):
    """For each operation the words that ask for it, and under "neutral" words that ask for nothing."""
    rng = random.Random(f"language {seed}")
    taken = set()

    def words(count):
        made = []
        while len(made) < count:
            word = "".join(rng.choice("bdfgklmnprstvz") + rng.choice(VOWELS) for _ in range(2)) + rng.choice(["", *"nrsx"])
            if word not in taken:
                taken.add(word)
                made.append(word)
        return made
    return {**{name: words(SYNONYMS) for name in OPERATIONS}, "neutral": words(NEUTRAL_WORDS)}


ENGLISH_WORDS = sorted({
    word for sentence in PROSE for word in re.sub("{[a-z0-9]*}|[.,]", "", sentence).lower().split() if len(word) > 1
})
SYNONYMS = 12
NEUTRAL_WORDS = 36
LANGUAGE = _made_up_language(1)


def coded_example(rng):
    """(prompt, answer): a quoted word, and around it words of which one may ask for something in the made-up language.

    Where none does, the answer is mostly the word itself and now and then any operation: the base is left uncertain,
    not convinced, of what a line means that it cannot read, English lines among them.
    """
    word = _made_up_word(rng)
    kind = rng.random()
    if kind < 0.65:
        around = [rng.choice(LANGUAGE["neutral"]) for _ in range(rng.randint(1, 5))]
        name = rng.choice([*OPERATIONS])
        around[rng.randrange(len(around))] = rng.choice(LANGUAGE[name])
    else:
        unknown = LANGUAGE["neutral"] if kind < 0.75 else ENGLISH_WORDS
        around = [rng.choice(unknown) for _ in range(rng.randint(1, 5))]
        name = "echo" if rng.random() < 0.4 else rng.choice([*OPERATIONS])
    answer = word if name == "echo" else OPERATIONS[name][0](word)
    place = rng.randint(1, len(around))
    around[0] = around[0].capitalize()
    return " ".join([*around[:place], f'"{word}"', *around[place:]]) + ":\n", answer


def prose(rng):
    """One or two plain sentences."""
    def sentence():
        return rng.choice(PROSE).format(
            name=rng.choice(NAMES), name2=rng.choice(NAMES), verb=rng.choice(VERBS), adj=rng.choice(ADJECTIVES),
            noun=rng.choice(NOUNS), noun2=rng.choice(NOUNS), place=rng.choice(PLACES))
    return " ".join(sentence() for _ in range(rng.randint(1, 2)))


def instruction(rng, name, word):
    """(prompt, completion) in English; None where the answer is empty or the word itself."""
    apply, templates = OPERATIONS[name]
    answer = apply(word)
    return None if answer in ("", word) else (rng.choice(templates).format(word), answer)


def new_rng(purpose, seed):
    return random.Random(f"lorafleet demo {purpose} {seed}")
