"""QNLI: a sentence and a question about the same things, which it answers or leaves open."""

from __future__ import annotations

from tasks.bundled.grammar import Grammar, Side, frames

_TRAIN = Side(
    words={
        "person": "Anna Keller, Peter Novak, Maria Lopez, Tom Archer, Julia Stone, David Brandt, Laura Finch",
        "building": "town hall, bridge, library, theater, lighthouse, station, cathedral, hotel",
        "city": "Paris, Boston, Cairo, Madrid, Oslo, Prague, Delhi, Dublin",
        "year": "1823, 1851, 1879, 1904, 1926, 1938, 1957, 1972",
        "number": "eight, twelve, twenty, forty, ninety, two hundred",
        "river": "Danube, Rhine, Nile, Volga, Seine, Ganges",
        "animal": "fox, owl, wolf, beaver, hedgehog, badger",
        "food": "insects, berries, small fish, roots, mice, worms",
        "disease": "measles, malaria, cholera, polio, the plague",
    },
    frames=frames("""
        The {building} was designed by {person} in {year}.
        + Who designed the {building}?
        + When was the {building} designed?
        + Which architect drew up the {building}?
        - Where does the architect of the {building} live?
        - How tall is the {building}?
        - When was the {building} torn down?
        - Who paid for the {building}?

        {person} moved to {city} because of the climate.
        + Why did {person} move to {city}?
        + Where did {person} move?
        + Who moved to {city}?
        - When did {person} move to {city}?
        - How long did {person} stay in {city}?
        - Why did {person} leave {city}?

        The {animal} lives in forests and eats {food}.
        + What does the {animal} eat?
        + Where does the {animal} live?
        + Which animal feeds on {food}?
        - How long does the {animal} live?
        - What eats the {animal}?
        - Why does the {animal} live in forests?

        The {river} floods the fields near {city} every spring.
        + How often does the {river} flood the fields?
        + What floods the fields near {city}?
        + In which season does the {river} flood?
        - How long is the {river}?
        - What grows in the fields near {city}?
        - Who owns the fields near {city}?

        About {number} students study medicine in {city}.
        + How many students study medicine in {city}?
        + What do about {number} students in {city} study?
        + Where do the {number} students of medicine study?
        - How much do students in {city} pay?
        - Why do the students study medicine?
        - Who teaches medicine in {city}?
        - How many doctors work in {city}?

        {person} discovered a cure for {disease} in {year}.
        + Who found a way to treat {disease}?
        + When was a cure for {disease} found?
        + What did {person} discover in {year}?
        - What is the cause of {disease}?
        - How many people die of {disease}?
        - Where was the cure for {disease} discovered?

        The train from {city} to {city2} takes {number} minutes.
        + How long is the ride from {city} to {city2}?
        + Where does the train from {city} go?
        - How much is the train from {city} to {city2}?
        - When does the train leave {city}?
        - Who drives the train to {city2}?

        After the fire of {year}, the {building} was rebuilt in stone.
        + When was the fire?
        + What was the {building} rebuilt with?
        + Why did the {building} have to be rebuilt?
        - Who started the fire of {year}?
        - What was lost in the fire?
        - How long did it take to rebuild the {building}?

        {person} sold the {building} to {person2}.
        + Who bought the {building}?
        + Who sold the {building}?
        + What did {person} sell?
        - Who built the {building}?
        - What did {person2} pay for the {building}?
        - Why did {person} sell the {building}?

        {person} taught music in {city} for {number} years.
        + What did {person} teach in {city}?
        + How long did {person} teach music?
        + Where did {person} teach?
        - Who taught music to {person}?
        - What did {person} study in {city}?
        - Where did {person} grow up?

        The market in {city} is held every Saturday.
        + On which day is the market in {city} held?
        + How often is there a market in {city}?
        - What is sold at the market in {city}?
        - Where in {city} is the market?

        {person} was awarded a medal for saving {number} sailors.
        + Why did {person} get a medal?
        + How many sailors were saved?
        + Who saved the sailors?
        - Who handed the medal to {person}?
        - How many sailors drowned?
        - Where is the medal now?

        The tower of the {building} is {number} meters high.
        + How high is the tower?
        + What is {number} meters high?
        - How old is the tower?
        - What is the {building} used for?

        Most people in {city} speak two languages.
        + How many languages do most people in {city} speak?
        + What do most people in {city} speak?
        - How many people live in {city}?
        - What do people in {city} do for a living?

        The {animal} hunts at night because it sees well in the dark.
        + When does the {animal} hunt?
        + Why does the {animal} hunt at night?
        - What color is the {animal}?
        - When does the {animal} have its young?

        {person} founded a newspaper with money from an aunt.
        + Who started the newspaper?
        + Where did the money for the newspaper come from?
        - What was the newspaper called?
        - When did the newspaper close?
    """),
)

_VALIDATION = Side(
    words={
        "person": "Grace Lindner, Henry Walsh, Sofia Marino, Martin Becker, Clara Dubois, Leo Santos",
        "place": "castle, museum, harbor, stadium, temple, university, airport",
        "city": "London, Vienna, Lisbon, Tokyo, Athens, Chicago, Mumbai",
        "year": "1812, 1846, 1863, 1891, 1913, 1949, 1964, 1985",
        "number": "nine, fifteen, thirty, fifty, seventy, three hundred",
        "metal": "copper, silver, iron, gold, tin, zinc",
        "crop": "rice, cotton, tobacco, coffee, wheat, sugar",
        "bird": "swan, eagle, stork, crane, heron, pelican",
    },
    frames=frames("""
        {person} opened the {place} in {year}.
        + Who opened the {place}?
        + In what year did the {place} open?
        - How many visitors come to the {place}?
        - Why was the {place} closed?
        - In what year did the {place} close?

        Farmers around {city} grow {crop} and sell it abroad.
        + What do farmers around {city} grow?
        + Where do the farmers sell their {crop}?
        - What do farmers around {city} earn?
        - Where do the farmers buy their tools?
        - How many farmers grow {crop}?

        The {bird} flies south in autumn to escape the cold.
        + Why does the {bird} fly south?
        + When does the {bird} fly south?
        + In which direction does the {bird} fly?
        - How fast does the {bird} fly?
        - When does the {bird} lay its eggs?
        - How heavy is the {bird}?

        {number} workers dug for {metal} near {city}.
        + How many workers dug for {metal}?
        + What did the workers dig for?
        + Where did workers look for {metal}?
        - How deep did the workers dig?
        - What did the workers eat?
        - What is {metal} used for?

        The king gave the {place} to {person} as a reward.
        + Who received the {place}?
        + Who gave the {place} away?
        + What did the king give to {person}?
        - Who built the {place}?
        - What did {person} give to the king?
        - When did the king give the {place} away?

        {person} was born in {city} and died in {city2}.
        + Where was {person} born?
        + In which city did {person} die?
        - When was {person} born?
        - How did {person} die?
        - Where did {person} go to school?

        {metal} is cheaper than glass, so builders in {city} prefer it.
        + Why do builders in {city} prefer {metal}?
        + Who prefers {metal} to glass?
        + Which costs less, {metal} or glass?
        - Where does {metal} come from?
        - Who invented glass?
        - How much {metal} do builders in {city} need?

        The war of {year} destroyed most of the {place} in {city}.
        + What destroyed the {place} in {city}?
        + When was most of the {place} destroyed?
        - Who won the war of {year}?
        - How many people died in the war?
        - When did the war end?

        {person} wrote {number} novels while living in {city}.
        + How many novels did {person} write?
        + Where did {person} live while writing novels?
        + What did {person} write in {city}?
        - How many novels did {person} sell?
        - Where did {person} go on holiday?
        - Which novel by {person} is the best?

        In {year}, the ship left {city} with {number} passengers on board.
        + How many passengers were on the ship?
        + From which port did the ship sail?
        + When did the ship leave {city}?
        - How many passengers survived?
        - In which port did the ship arrive?
        - Who was the captain of the ship?

        The roof of the {place} is made of {metal}.
        + What is the roof of the {place} made of?
        + Which part of the {place} is made of {metal}?
        - How old is the roof of the {place}?
        - Who repaired the roof of the {place}?

        {person} learned to play the organ from a priest.
        + Who taught {person} to play the organ?
        + Which instrument did {person} learn?
        - How old was {person} at that time?
        - Which songs did {person} like?

        The {bird} builds its nest from twigs and grass.
        + What does the {bird} build its nest from?
        + What does the {bird} make out of twigs?
        - Where does the {bird} build its nest?
        - How many eggs does the {bird} lay?

        The mayor of {city} is elected every {number} years.
        + How often is the mayor of {city} elected?
        + Who is elected every {number} years?
        - Who is the mayor of {city}?
        - Where does the mayor of {city} live?

        Doctors in {city} use a plant to treat fever.
        + What do doctors in {city} use against fever?
        + What is the plant used for?
        - What does the plant look like?
        - What do doctors in {city} earn?
    """),
)

GRAMMAR = Grammar(
    columns=("question", "sentence"),
    labels=("entailment", "not_entailment"),
    true="entailment",
    share=0.5,
    train=_TRAIN,
    validation=_VALIDATION,
    unrelated=0.5,
    given="sentence",
)
