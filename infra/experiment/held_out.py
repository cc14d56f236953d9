"""Held-out texts: short questions with good answers, whose likelihood says whether a policy forgot how to speak.

Half are general, half are small sums told as stories, in the manner of GSM8K. None is like what the users ask for.
"""

from typing import Final


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Questions and answers from paragraphs of a Q: and an A: part."""
    parts = (" ".join(paragraph.split()).removeprefix("Q: ").split(" A: ") for paragraph in text.split("\n\n"))
    return tuple((question, answer) for question, answer in parts)


GENERAL: Final = _pairs("""
Q: Why is the sky blue?
A: Sunlight is made of many colors. Air scatters blue light more than red light, so blue reaches our eyes from every
part of the sky.

Q: What does a heart do?
A: The heart is a muscle that pumps blood through the body. The blood brings oxygen and food to every cell and carries
waste away.

Q: How does a bicycle stay upright?
A: A moving bicycle is steered a little all the time. When it leans to one side, the front wheel turns to that side
and brings it back under the rider.

Q: What is the difference between a lake and a sea?
A: A lake is surrounded by land and usually holds fresh water. A sea is larger, holds salt water, and is connected to
an ocean.

Q: Why do leaves change color in autumn?
A: In autumn trees stop making the green pigment that catches light. The yellow and red pigments that were hidden
behind the green become visible.

Q: What is a library for?
A: A library collects books and lends them to people. It is also a quiet place to read, study, and ask for help in
finding information.

Q: Who was Marie Curie?
A: Marie Curie was a physicist and chemist who studied radioactivity. She discovered two elements and was the first
person to win two Nobel Prizes.

Q: How is cheese made?
A: Cheese is made from milk. An enzyme makes the milk thicken, the solid part is separated from the liquid, pressed,
salted, and left to ripen.

Q: What is inflation?
A: Inflation means that prices rise over time. The same amount of money then buys less than it did before.

Q: Why do we sleep?
A: During sleep the body repairs itself and the brain sorts what it learned during the day. Without enough sleep it is
hard to concentrate.

Q: What causes the tides?
A: The moon pulls on the water of the oceans. As the Earth turns, the water rises and falls about twice a day.

Q: What is a metaphor?
A: A metaphor describes one thing as if it were another. When we say that time is money, we mean that time is valuable
and should not be wasted.
""")
SUMS: Final = _pairs("""
Q: Tom has 12 apples. He gives 5 to his sister and buys 8 more. How many apples does he have?
A: After giving away 5 apples Tom has 12 - 5 = 7 apples. He buys 8 more, so he has 7 + 8 = 15 apples.

Q: A bus ticket costs 3 dollars. How much do 4 people pay for a trip there and back?
A: One person needs 2 tickets, which cost 2 x 3 = 6 dollars. 4 people pay 4 x 6 = 24 dollars.

Q: Sara reads 20 pages a day. How many days does she need for a book of 180 pages?
A: She reads 20 pages each day, so she needs 180 / 20 = 9 days.

Q: A farmer has 6 rows with 14 plants each. Rabbits eat 9 plants. How many plants are left?
A: There were 6 x 14 = 84 plants. After the rabbits 84 - 9 = 75 plants are left.

Q: Ben saves 15 dollars a week. A game costs 90 dollars. How many weeks must he save?
A: He needs 90 dollars and saves 15 dollars each week, so he must save 90 / 15 = 6 weeks.

Q: A class of 28 children makes teams of 4. How many teams are there, and how many games if each team plays one other
team once in a first round?
A: There are 28 / 4 = 7 teams. In the first round 6 teams make 3 games and one team waits.

Q: A recipe for 4 people needs 300 grams of flour. How much is needed for 10 people?
A: One person needs 300 / 4 = 75 grams. For 10 people that is 10 x 75 = 750 grams of flour.

Q: A train leaves at 9:40 and arrives at 12:15. How long does the trip take?
A: From 9:40 to 12:00 are 2 hours and 20 minutes. With 15 more minutes the trip takes 2 hours and 35 minutes.

Q: Mia has twice as many stickers as Leo. Together they have 36. How many does Leo have?
A: Together they have three times as many as Leo. Leo has 36 / 3 = 12 stickers.

Q: A shirt costs 40 dollars and is sold for 25 percent less. What is the new price?
A: 25 percent of 40 dollars is 10 dollars. The new price is 40 - 10 = 30 dollars.

Q: A tank holds 240 liters. A pump fills 8 liters per minute. How long does it take to fill half the tank?
A: Half the tank is 240 / 2 = 120 liters. The pump needs 120 / 8 = 15 minutes.

Q: Anna walks 3 kilometers to school and back five days a week. How far does she walk in a week?
A: Each day she walks 2 x 3 = 6 kilometers. In five days she walks 5 x 6 = 30 kilometers.
""")
