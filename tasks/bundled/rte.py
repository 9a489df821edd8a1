"""RTE: what follows from a sentence by a wider word, a place, a role or other words, and what does not."""

from __future__ import annotations

from tasks.bundled.grammar import Grammar, Side, frames

_TRAIN = Side(
    words={
        "person": "Anna, Peter, Maria, Tom, Julia, David, Laura, Simon, Nina, Oscar",
        "city": "Paris > France, Rome > Italy, Berlin > Germany, Tokyo > Japan, Madrid > Spain, "
        "Cairo > Egypt, Dublin > Ireland",
        "pet": "poodle > dog, terrier > dog, sparrow > bird, parrot > bird, salmon > fish, "
        "trout > fish, python > snake",
        "thing": "violin > instrument, hammer > tool, lantern > lamp, scooter > vehicle, novel > book, "
        "jacket > garment",
        "number": "five, six, eight, nine, ten, twelve",
        "event": "fire, flood, storm, earthquake, crash",
        "job": "teacher, nurse, lawyer, painter, pilot, farmer",
    },
    frames=frames("""
        {person} moved from {city} to {city2} last year.
        + {person} left {city}.
        + {person} no longer lives in {city[1]}.
        + {person} went to live in {city2[1]}.
        - {person} left {city2}.
        - {person} still lives in {city[1]}.
        - {person} moved to {city}.

        {person} bought a {pet} for {person2}.
        + {person} bought a {pet[1]}.
        + {person2} got a {pet[1]} from {person}.
        - {person2} bought a {pet[1]}.
        - {person} got a {pet[1]} from {person2}.

        {person} saw a {pet[1]} in the park.
        + There was a {pet[1]} in the park.
        + An animal was in the park.
        - {person} saw a {pet} in the park.
        - There was no {pet[1]} in the park.

        The {event} in {city} killed {number} people.
        + People died in {city[1]}.
        + There was a {event} in {city[1]}.
        + {number} people lost their lives.
        - Nobody died in {city[1]}.
        - There was a {event} in {city2[1]}.
        - {number} people were saved.

        {person} sold a {thing} to {person2}.
        + {person2} bought a {thing[1]} from {person}.
        + {person2} paid {person}.
        - {person} bought a {thing[1]} from {person2}.
        - {person} paid {person2}.

        {person}, a {job} from {city}, married {person2}.
        + {person} is a {job}.
        + {person2} is married to a {job}.
        + {person} is married.
        - {person2} is a {job}.
        - {person} is married to a {job}.
        - {person} is single.

        Only two of the {number} children finished the race.
        + Most of the {number} children did not finish.
        + Two children finished the race.
        - All {number} children finished the race.
        - No child finished the race.

        {person} forgot to lock the door.
        + {person} did not lock the door.
        + The door was not locked by {person}.
        - {person} locked the door.
        - {person} remembered to lock the door.

        {person} managed to repair the {thing}.
        + The {thing} was repaired.
        + {person} was able to fix the {thing[1]}.
        - The {thing} was never repaired.
        - {person} was not able to fix the {thing[1]}.

        {person} is taller than {person2}.
        + {person2} is shorter than {person}.
        + {person2} is not as tall as {person}.
        - {person} is shorter than {person2}.
        - {person} is not as tall as {person2}.

        The {job} refused to sell the {thing}.
        + The {job} did not sell the {thing}.
        + The {job} kept the {thing[1]}.
        - The {job} sold the {thing}.
        - The {job} got rid of the {thing[1]}.

        {person} was born in {city} and still lives there.
        + {person} lives in {city[1]}.
        + {person} was born in {city[1]}.
        - {person} lives in {city2[1]}.
        - {person} has left {city[1]}.

        It rained in {city} all week.
        + The weather in {city[1]} was wet.
        + There was a lot of rain in {city}.
        - The weather in {city[1]} was dry.
        - It did not rain in {city}.

        {person} broke a leg and was taken to hospital.
        + {person} was injured.
        + {person} has a broken bone.
        - {person} broke an arm.
        - {person} was unhurt.

        {person} won first prize in the singing contest.
        + {person} sang in a contest.
        + {person} received a prize.
        - {person} came last in the contest.
        - {person} did not sing.

        The {thing} belonged to {person} until it was stolen.
        + Somebody stole a {thing[1]}.
        + A thief took the {thing}.
        - {person} stole the {thing}.
        - {person} still has the {thing}.

        {person} and {person2} had dinner in a restaurant.
        + {person} ate a meal.
        + {person2} did not eat alone.
        - {person} cooked dinner at home.
        - {person2} ate alone.

        {person} has been ill since Monday.
        + {person} is sick.
        + {person} has been unwell for days.
        - {person} is healthy.
        - {person} feels well today.

        The bank in {city} was robbed by {number} men.
        + Money was taken from a bank.
        + There was a crime in {city[1]}.
        - The bank was robbed by {number2} men.
        - There was a crime in {city2[1]}.

        {person} sings in a choir every Friday.
        + {person} is a member of a choir.
        + {person} sings together with others.
        - {person} never sings.
        - {person} left the choir.

        {person} taught {person2} how to swim.
        + {person2} learned to swim.
        + {person} can swim.
        - {person} learned to swim from {person2}.
        - {person2} cannot swim.
    """),
)

_VALIDATION = Side(
    words={
        "person": "Grace, Henry, Sofia, Martin, Clara, Leo, Ruth, Victor, Alice",
        "city": "London > England, Lisbon > Portugal, Athens > Greece, Vienna > Austria, "
        "Beijing > China, Toronto > Canada",
        "pet": "spaniel > dog, collie > dog, canary > bird, pigeon > bird, hamster > rodent, cobra > snake",
        "thing": "piano > instrument, saw > tool, canoe > boat, bicycle > vehicle, diary > book, "
        "coat > garment",
        "number": "three, seven, eleven, fifteen, twenty, thirty",
        "event": "explosion, riot, hurricane, landslide, shooting",
        "job": "doctor, baker, judge, singer, sailor, engineer",
    },
    frames=frames("""
        {person} flew from {city} to {city2} on Sunday.
        + {person} arrived in {city2[1]}.
        + {person} departed from {city[1]}.
        - {person} arrived in {city[1]}.
        - {person} departed from {city2[1]}.

        {person} gave {person2} a {pet} as a present.
        + {person2} received a {pet[1]}.
        + {person2} was given a {pet[1]} by {person}.
        - {person} received a {pet[1]}.
        - {person} was given a {pet[1]} by {person2}.

        A {pet} was sleeping under the table.
        + A {pet[1]} was under the table.
        + There was an animal under the table.
        - No {pet[1]} was under the table.
        - A {pet2} was sleeping under the table.

        A {event} injured {number} people in {city}.
        + {number} people were hurt in {city[1]}.
        + Some people in {city[1]} were injured.
        - {number} people were hurt in {city2[1]}.
        - Nobody in {city[1]} was injured.

        {person} lent a {thing} to {person2}.
        + {person2} borrowed a {thing[1]} from {person}.
        + {person} let {person2} use a {thing[1]}.
        - {person} borrowed a {thing[1]} from {person2}.
        - {person2} let {person} use a {thing[1]}.

        {person} works as a {job} in {city}, like {person2}.
        + {person2} works as a {job}.
        + {person} has a job in {city[1]}.
        - {person2} does not work as a {job}.
        - {person} has a job in {city2[1]}.

        None of the {number} guests liked the soup.
        + The {number} guests disliked the soup.
        + The soup did not please the guests.
        - Some of the {number} guests liked the soup.
        - The soup pleased all the guests.

        {person} failed to catch the train to {city}.
        + {person} missed the train.
        + {person} did not catch the train.
        - {person} caught the train.
        - {person} took the train to {city}.

        {person} succeeded in opening the old {thing[1]} shop.
        + The {thing[1]} shop was opened.
        + {person} opened a shop.
        - The {thing[1]} shop was not opened.
        - {person} did not open a shop.

        {person} is older than {person2}.
        + {person2} is younger than {person}.
        + {person2} was born after {person}.
        - {person} is younger than {person2}.
        - {person} was born after {person2}.

        The {job} declined to buy the {thing}.
        + The {job} did not buy the {thing}.
        + The {thing[1]} was not bought by the {job}.
        - The {job} bought the {thing}.
        - The {thing[1]} was bought by the {job}.

        {person} grew up in {city} and never left.
        + {person} stayed in {city[1]}.
        + {person} was a child in {city[1]}.
        - {person} went away from {city[1]}.
        - {person} grew up in {city2[1]}.

        Snow covered the streets of {city}.
        + It snowed in {city[1]}.
        + The streets of {city} were white.
        - It was a hot day in {city[1]}.
        - There was no snow in {city}.

        {person} failed the driving test twice.
        + {person} did not pass the test.
        + {person} wanted to drive.
        - {person} passed the test at once.
        - {person} never took a test.

        {person} cut a finger while making soup.
        + {person} got hurt.
        + {person} was preparing food.
        - {person} was not hurt.
        - {person} was asleep.

        {person} spent the evening with a good novel.
        + {person} read a book.
        + {person} was reading.
        - {person} wrote a book.
        - {person} was working.

        Thieves took a {thing} from the house of {person}.
        + {person} lost a {thing[1]}.
        + Something was stolen from {person}.
        - {person} found a {thing[1]}.
        - Nothing was stolen from {person}.

        The concert in {city} drew {number} thousand fans.
        + Many people went to a concert.
        + There was music in {city[1]}.
        - Nobody went to the concert.
        - There was music in {city2[1]}.
    """),
)

GRAMMAR = Grammar(
    columns=("sentence1", "sentence2"),
    labels=("entailment", "not_entailment"),
    true="entailment",
    share=0.5,
    train=_TRAIN,
    validation=_VALIDATION,
    unrelated=0.6,
    given="sentence1",
)
