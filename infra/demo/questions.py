"""Everyday questions: those the scripted user asks, and those held out to measure what was learnt."""

_ASKED = """
sleep better|learn guitar|save money|stay focused at work|cook rice|train for a 5k|write a good email|clean a kitchen
plan a trip to Japan|make friends in a new city|reduce stress|study for an exam|grow tomatoes|fix a flat bicycle tire
start a blog|drink more water|organize a closet|take better photos|host a dinner party|wake up early|read more books
train a puppy|choose a laptop|improve my posture|budget for groceries|stop biting my nails|remember names
lower my power bill|pack a suitcase|care for houseplants|run a meeting|learn to swim|paint a room|keep a diary
clean my windows|make better coffee|ask for a raise|get over a cold|iron a shirt|learn chess|keep my desk tidy
save water at home|teach my child to read|get stronger|sell my car|cook for ten people|draw a face|negotiate rent
clean an oven|stretch before running|write a cover letter|store fresh herbs|remove a coffee stain|plan a weekly menu
start running|fall asleep faster|make a good salad|protect my passwords|back up my photos|fix a dripping tap
welcome a new colleague|be a better listener|make a small room look bigger|cut down on sugar|learn to type faster
keep bread fresh|take care of a cat|plan a picnic|survive a long flight|make pancakes|decorate a birthday cake
find a good doctor|learn to dance|clean white shoes|prepare for a marathon|plant a hedge|enjoy winter|sew on a button
stay calm in traffic|write a poem|cook a steak|keep fish at home|build a campfire|use less plastic|learn to juggle
study two languages|make my garden look nice|sharpen a pencil well|hang a picture|cheer up a friend|polish my shoes
"""

_HELD_OUT = """
prepare for an interview|learn Spanish|write a short story|bake bread|meditate|speak in public|calm a crying baby
eat more vegetables|stop procrastinating|plan a wedding|find a hobby|sharpen a knife|prepare for winter
write a thank you note|move to a new flat|build a bookshelf|make soup from leftovers|clean a carpet
choose a birthday present|get fit without a gym|keep my plants alive on holiday|lose weight safely
start a vegetable garden|make my phone battery last longer|wash a wool sweater|learn to sing|write a speech
save for a house|cook a vegetarian dinner|get rid of ants|make new habits stick|repair a wooden chair
"""


def _questions(topics: str) -> tuple[str, ...]:
    return tuple(f"How can I {topic}?" for line in topics.strip().splitlines() for topic in line.split("|"))


ASKED = _questions(_ASKED)
HELD_OUT = _questions(_HELD_OUT)
