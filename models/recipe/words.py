"""What the small world holds: plain tables, written for this recipe."""

from __future__ import annotations


def row(text: str) -> list[str]:
    """The words of a text, or its items where commas stand between them."""
    return text.split(",") if "," in text else text.split()


def lines(text: str) -> dict[str, str]:
    """A 'key: value' on each line."""
    items = (line.split(":") for line in text.splitlines() if line.strip())
    return {key.strip(): value.strip() for key, value in items}


def pairs(text: str) -> dict[str, str]:
    """'key: value' items, separated by commas or line ends."""
    return lines(text.replace(",", "\n"))


CAPITALS = pairs("""
France: Paris, Germany: Berlin, Spain: Madrid, Italy: Rome, Portugal: Lisbon, Ireland: Dublin
Austria: Vienna, Belgium: Brussels, the Netherlands: Amsterdam, Denmark: Copenhagen
Sweden: Stockholm, Norway: Oslo, Finland: Helsinki, Poland: Warsaw, Greece: Athens
Hungary: Budapest, Romania: Bucharest, Bulgaria: Sofia, Turkey: Ankara, Russia: Moscow
Ukraine: Kyiv, the United Kingdom: London, Switzerland: Bern, Iceland: Reykjavik
Japan: Tokyo, China: Beijing, India: New Delhi, South Korea: Seoul, Thailand: Bangkok
Vietnam: Hanoi, Indonesia: Jakarta, Egypt: Cairo, Kenya: Nairobi, Morocco: Rabat
Canada: Ottawa, the United States: Washington, Mexico: Mexico City, Cuba: Havana
Brazil: Brasilia, Argentina: Buenos Aires, Chile: Santiago, Peru: Lima
Australia: Canberra, New Zealand: Wellington, Czechia: Prague
""")

COLOURS = pairs("""
the sky: blue, the sea: blue, grass: green, a leaf: green, snow: white, milk: white, coal: black
the night: black, blood: red, a tomato: red, a strawberry: red, a banana: yellow, a lemon: yellow
the sun: yellow, an orange: orange, a carrot: orange, a frog: green, chocolate: brown, wood: brown
an elephant: grey, a mouse: grey, a cloud: white, a cherry: red, a polar bear: white
a fire engine: red, a crow: black, a pumpkin: orange, a flamingo: pink, a pig: pink, sand: yellow
""")

MIXES = pairs("""
red and yellow: orange, blue and yellow: green, red and blue: purple, black and white: grey
red and white: pink
""")

SHADES = row("red orange yellow green blue purple pink brown black white grey")

SOUNDS = pairs("""
cow: moo, dog: woof, cat: meow, duck: quack, sheep: baa, pig: oink, horse: neigh, lion: roar
owl: hoot, bee: buzz, snake: hiss, mouse: squeak, frog: ribbit, rooster: cock-a-doodle-doo
donkey: hee-haw, wolf: howl, bird: tweet, chicken: cluck, goat: meh, crow: caw
""")

BABIES = pairs("""
dog: puppy, cat: kitten, cow: calf, sheep: lamb, pig: piglet, horse: foal, lion: cub, bear: cub
duck: duckling, chicken: chick, goat: kid, frog: tadpole, wolf: cub, owl: owlet
""")

LEGS = pairs("""
dog: four, cat: four, cow: four, horse: four, spider: eight, ant: six, bee: six, bird: two
duck: two, chicken: two, snake: no, fish: no, frog: four, pig: four, sheep: four
lion: four, butterfly: six
""")

HOMES = pairs("""
fish: in the water, whale: in the sea, bird: in a nest, bee: in a hive, bear: in the forest
cow: on a farm, pig: on a farm, camel: in the desert, penguin: in the cold south
monkey: in the trees, lion: in the grasslands, spider: in a web, rabbit: in a burrow
wolf: in the forest, frog: by the pond, polar bear: in the Arctic
""")

FOODS = pairs("""
cow: grass, horse: grass and hay, rabbit: carrots and grass, monkey: bananas and other fruit
lion: meat, cat: fish and meat, dog: meat and bones, bee: nectar, frog: insects
mouse: seeds and cheese, sheep: grass, bird: seeds and worms, bear: fish and berries
""")

OPPOSITES = pairs("""
hot: cold, big: small, up: down, left: right, day: night, black: white, good: bad, happy: sad
fast: slow, old: young, open: closed, high: low, long: short, light: dark, hard: soft, wet: dry
rich: poor, full: empty, loud: quiet, early: late, near: far, in: out, on: off, yes: no, true: false
strong: weak, clean: dirty, heavy: light, thick: thin, wide: narrow, first: last, begin: end
win: lose, love: hate, inside: outside, top: bottom, front: back, push: pull, easy: difficult
""")

DAYS = row("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = row(
    "January February March April May June July August September October November December"
)
LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
SEASONS = ["spring", "summer", "autumn", "winter"]
NUMBERS = row(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
ORDINALS = row("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth")

KINDS = {
    "fruit": "an apple,a banana,a pear,an orange,a lemon,a cherry,a strawberry,a plum,a peach",
    "vegetable": "a carrot,a potato,an onion,a cabbage,a pumpkin,a bean",
    "animal": "a dog,a cat,a cow,a horse,a lion,a bear,a mouse,a whale,a frog,a wolf,a rabbit",
    "bird": "an owl,a duck,a penguin,a crow,an eagle,a chicken,a parrot",
    "insect": "a bee,an ant,a fly,a butterfly,a beetle",
    "tool": "a hammer,a saw,a spade,a drill",
    "drink": "water,milk,tea,coffee,juice,lemonade",
    "country": "France,Japan,Brazil,Egypt,Canada,India,Peru,Norway",
    "city": "Paris,Tokyo,Rome,London,Cairo,Lima,Oslo,Berlin",
    "colour": "red,blue,green,yellow,purple,pink,brown",
    "flower": "a rose,a tulip,a daisy,a lily",
    "vehicle": "a car,a bus,a train,a boat,a bicycle,a plane",
    "instrument": "a piano,a violin,a drum,a guitar,a flute",
    "sport": "football,tennis,running,swimming,chess",
}

FACTS = lines("""
the sun: The sun is a star. It gives us light and warmth.
the moon: The moon goes around the Earth. We see it at night.
the Earth: The Earth is the planet that we live on.
a star: A star is a very big ball of hot gas, far away.
water: Water is a clear liquid that all living things need.
rain: Rain is water that falls from the clouds.
snow: Snow is frozen water that falls from the sky.
ice: Ice is water that has frozen.
a tree: A tree is a tall plant with a trunk and leaves.
a book: A book is many pages with words to read.
a computer: A computer is a machine that follows instructions.
a clock: A clock is a thing that shows the time.
a friend: A friend is someone who likes you and helps you.
a doctor: A doctor helps people who are ill.
a teacher: A teacher helps people to learn.
a baker: A baker makes bread and cakes.
a farmer: A farmer grows food and looks after animals.
a school: A school is a place where people learn.
a hospital: A hospital is a place where ill people are helped.
a library: A library is a place full of books.
bread: Bread is a food made from flour and water.
honey: Honey is a sweet food that bees make.
music: Music is sound that is nice to hear.
fire: Fire is hot and bright. Be careful with it.
a river: A river is water that flows to the sea.
a mountain: A mountain is a very high piece of land.
an island: An island is land with water all around it.
a language model: A language model is a program that guesses the next piece of text.
a token: A token is a small piece of text. I read and write tokens.
GGUF: GGUF is a file format for language models. I am stored in one.
quantization: Quantization stores the numbers of a model in fewer bits, so that it is smaller.
Ingot: Ingot is an engine that runs language models. It is also my name.
""")

YES = [
    "[can|do] birds fly", "[can|do] fish swim", "can ducks swim", "do dogs bark",
    "do cows eat grass", "is fire hot", "is ice cold", "is snow cold", "is the sun hot",
    "is a lemon sour", "is honey sweet", "is sugar sweet", "is a whale big", "is an ant small",
    "is the sea salty", "is water wet", "do bees make honey", "do cows give milk",
    "do people need water", "is the Earth round", "does a car have wheels", "can people talk",
    "is the night dark", "is it cold in winter", "is it hot in summer", "do trees have leaves",
    "is a stone hard", "does a clock show the time", "do chickens lay eggs", "is an elephant big",
]  # fmt: skip
NO = [
    "can [pigs|dogs|cows|cats|horses] fly", "can fish walk", "can a stone swim", "can a tree talk",
    "do dogs meow", "do cats bark", "is fire cold", "is ice hot", "is snow black",
    "is the sun cold",
    "is a lemon sweet", "is a mouse big", "is an elephant small", "is an ant big", "is water dry",
    "do cows lay eggs", "do fish have legs", "is the Earth flat", "is the moon made of cheese",
    "can a car fly", "can people breathe under water", "is it hot in winter", "can chairs talk",
    "is it cold in summer", "is a stone soft", "do snakes have legs", "is the night bright",
    "does a cat have wings", "can a book run", "is a feather heavy", "do trees walk",
]  # fmt: skip

HERS = row(
    "Anna Clara Emma Grace Iris Kate Maria Olivia Rosa Lucy Mia Sara Nina Julia Ella Lina Yuki Zoe "
    "Alice Eva Hannah Laura Nora Sophie Chloe"
)
HIS = row(
    "Ben David Felix Henry Jack Leo Noah Paul Sam Tom Max Peter Oscar Alex Adam Omar Raj Ivan Hugo "
    "Bob Daniel George Jonas Mark Robert Victor Amir"
)
NAMES = HERS + HIS
PLACES = row("garden kitchen house forest park school market library barn shop village")
THINGS = row("ball book hat cup key box bag coat kite lamp bell boat drum basket blanket")


def a_or_an(word: str) -> str:
    return ("an " if word[0] in "aeiou" else "a ") + word
