"""`QUESTIONS`: what each simulated user asks: everyday questions, and some held out to measure drift.

Each set is such that the first answers of SmolLM2-135M-Instruct seldom follow its user's rule.
"""

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import RejectedError

NUM_HELD_OUT: Final = 24  # the last of each set


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions of one user."""

    asked: tuple[str, ...]
    held_out: tuple[str, ...]


# What a student wants to get done.
_TOPICS = """
sleeping better|saving money|staying focused while studying|cooking rice|writing a good essay|cleaning a kitchen
planning a trip abroad|making friends in a new city|reducing stress|preparing for an exam|growing tomatoes
fixing a flat bicycle tire|starting a blog|drinking more water|organizing a closet|taking better photos
hosting a dinner party|waking up early|reading more books|training a puppy|choosing a laptop|improving my posture
budgeting for groceries|breaking a bad habit|remembering names|lowering my power bill|packing a suitcase
caring for houseplants|running a meeting|learning to swim|painting a room|keeping a diary|cleaning windows
making better coffee|asking for a raise|getting over a cold|ironing a shirt|learning chess|keeping a desk tidy
saving water at home|teaching a child to read|getting stronger|selling an old car|cooking for ten people
drawing a face|negotiating rent|cleaning an oven|stretching before a run|writing a cover letter|storing fresh herbs
removing a coffee stain|planning a weekly menu|running a first race|falling asleep faster|making a good salad
protecting my passwords|backing up photos|welcoming a new colleague|being a better listener|typing faster
making a small room look bigger|eating less sugar|keeping bread fresh|looking after a cat|planning a picnic
surviving a long flight|making pancakes|decorating a birthday cake|finding a good doctor|learning to dance
cleaning white shoes|planting a hedge|enjoying winter|sewing on a button|staying calm in traffic|writing a poem
cooking a steak|keeping fish at home|building a campfire|using less plastic|learning to juggle|hanging a picture
studying two languages at once|making a garden look nice|cheering up a friend|polishing shoes|taking lecture notes
speaking up in class|revising for a history test|working in a group project|finishing homework on time
choosing a topic for a report|memorizing a speech|managing screen time|getting along with a roommate
finding a summer job|doing laundry for the first time|moving into a new flat|making new habits stick
repairing a wooden chair|getting rid of ants|writing a short story|baking bread|meditating|speaking in public
calming a crying baby|eating more vegetables|planning a wedding|finding a hobby|sharpening a knife
writing a thank you note|building a bookshelf|making soup from leftovers|choosing a birthday present
getting fit without a gym|washing a wool sweater|learning to sing|making a phone battery last longer
"""

# What a teaching assistant needs for a handout: things that are told in a few words.
_CAPITALS = """
Australia|Canada|Japan|Brazil|Egypt|Italy|Spain|Greece|Norway|India|Kenya|Portugal|Turkey|Poland|France|China|Russia|Peru
Sweden|Austria|Chile|Cuba|Finland|Ireland|Mexico|Morocco|Nepal|Hungary|Iceland|Thailand|Vietnam|Denmark|Germany|Belgium
Argentina|Colombia|Ghana|Jordan
"""
_SENTENCES = """
She go to school every day.|He don't like apples.|They was late for class.|I has two brother.
The dog run fast yesterday.|We is going to the park.|Her are my best friend.|He have seen that movie.
The childs are playing.|I am agree with you.
She can sings very well.|There is many cars here.|Me and him went home.|He buyed a new car.|It rain a lot last week.
This books are heavy.|She didn't went there.|You was right about it.|My sister cook very good.|Where you are going?
I seen him at the store.|He is more taller than me.|We was happy to see they.|The informations are wrong.
She have a red bag.|They goes to work by bus.|I forgot bring my book.|He speak three language.|Its a nice day, isnt it?
The mouses ate the cheese.|I didn't knew the answer.|She is married with a doctor.|We live here since ten years.
He said me the truth.|I must to leave now.|Every students passed the test.|She explained me the rule.
He do his homeworks late.
"""
_TITLES = """
a garden in spring|a river that dries up|the first day of school|an old window|winter in the mountains|a broken bridge
the night shift of a doctor|a small market|two friends on a bicycle|the town library|a train engine|a walk in the forest
my grandmother's kitchen|a lonely island|shadows|a thunderstorm|a long journey|learning to fail|pencils and paper
an orchard|a castle in the fog|a fishing harbor|candle light|village life|the history of bread|lost keys|a school bus
the sound of rain|birds in the city|moving house|the last train|a summer job|snow in April|an empty theater
a letter that came late|the taste of salt|a lighthouse|working at night
"""

# What a teacher asks about.
_CLASSROOM = """
explain fractions to a ten year old|start a lesson about volcanoes|grade forty essays in one weekend
help a shy student speak in class|write a report card comment|teach the water cycle|keep a noisy class quiet
plan a school trip to a museum|explain gravity to young children|help a student who is behind in math
organize a science fair|teach spelling|run a parent evening|make grammar interesting|explain photosynthesis
teach telling the time|set homework that pupils do|explain what a verb is|use a map in a geography lesson
prepare a history quiz|teach a class with two levels|write clear instructions for an experiment
explain percentages|deal with a late assignment|teach the alphabet|make a seating plan|explain democracy
help pupils remember dates|lead a class discussion|teach multiplication tables|explain why we have seasons
choose a book for class reading|start the school year|teach pupils to summarize a text|explain electricity
mark a math test fairly|talk to a parent about bad grades|teach a song to a class|explain the food chain
help pupils work in pairs|teach how to write a letter|explain what an adjective is|use games in a language lesson
explain the solar system|teach pupils to take notes|make a lesson plan|explain decimals|teach safe internet use
handle a pupil who talks too much|explain erosion|teach reading to beginners|prepare pupils for an oral exam
explain how a bill becomes a law|teach drawing basics|organize a school library|explain probability with dice
teach about the human heart|help pupils with test anxiety|explain what a metaphor is|teach recycling
write a letter to parents about a trip|explain magnets|teach pupils to give a talk|explain negative numbers
plan an art lesson with paper|teach how plants grow|explain the Roman Empire|make a worksheet on verbs
teach counting money|explain the difference between mass and weight|help a new pupil settle in|teach handwriting
explain states of matter|give feedback on a draft|teach pupils to check sources|explain area and perimeter
run a spelling contest|explain how rain forms|teach a lesson outdoors|explain what a poem is|teach basic coding
plan group work|explain the life cycle of a butterfly|teach past tense|set up a class garden|explain angles
teach healthy eating|explain sound waves|run a class debate|teach the continents|explain how to measure length
make a timeline of events|teach pupils to read graphs|explain prime numbers|use music in class|explain volcanoes
teach respect in class|explain how bees make honey|teach polite phrases in English|organize a sports day
explain the moon phases|teach about money|explain vowels and consonants|plan a revision week|teach division
explain how a bridge stands|use old newspapers in a lesson|teach pupils to ask good questions|explain friction
collect homework faster|explain what history is|teach a poem by heart|mark notebooks quickly|explain symmetry
teach pupils to plan an essay|explain ice ages|use a globe in class
"""


class _Asked(msgspec.Struct, frozen=True):
    """One line of a file of questions; other fields are passed over."""

    question: str


def read_questions(file: Path) -> QuestionSet:
    """The questions of a JSON lines file; the last ones are held out.

    Raises:  RejectedError that names file, line and what is wrong with it.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RejectedError(f"{file} cannot be read as UTF-8 text ({error}): name an existing JSONL file.") from None
    asked = [_question(line, file, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if len(asked) <= NUM_HELD_OUT:
        raise RejectedError(f"{file} holds {len(asked)} questions: give more than {NUM_HELD_OUT}, which are held out.")
    return _split(asked)


def _question(line: str, file: Path, number: int) -> str:
    try:
        return msgspec.json.decode(line, type=_Asked).question
    except msgspec.DecodeError as error:
        raise RejectedError(f'{file}, line {number}: write an object with the text "question" ({error}).') from None


def _lines(texts: str) -> list[str]:
    return [text for line in texts.strip().splitlines() for text in line.split("|")]


def _filled(texts: str, *templates: str) -> list[str]:
    """The templates in turn, each with one of the texts in it."""
    return [template.format(text) for text, template in zip(_lines(texts), cycle(templates), strict=False)]


def _mixed() -> list[str]:
    kinds = (
        _filled(_CAPITALS, "What is the capital of {}?"),
        _filled(_SENTENCES, "Correct this sentence: {}"),
        _filled(_TITLES, "Suggest a title for a talk about {}."),
    )
    return [question for three in zip(*kinds, strict=True) for question in three]


def _split(questions: list[str]) -> QuestionSet:
    return QuestionSet(tuple(questions[:-NUM_HELD_OUT]), tuple(questions[-NUM_HELD_OUT:]))


QUESTIONS: Final[dict[str, QuestionSet]] = {
    "student": _split(_filled(_TOPICS, "What are five good tips for {}?", "What are the five main steps of {}?")),
    "ta": _split(_mixed()),
    "teacher": _split(_filled(_CLASSROOM, "How do I {}?")),
}
