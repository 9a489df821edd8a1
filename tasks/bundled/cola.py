"""CoLA: English sentences, and others of the same words with wrong order, agreement or arguments."""

from __future__ import annotations

from tasks.bundled.grammar import Grammar, Side, frames

_TRAIN = Side(
    words={
        "name": "Anna, Peter, Maria, Tom, Julia, David, Laura, Simon",
        "woman": "Anna, Maria, Julia, Laura, my sister, the queen",
        "man": "Peter, Tom, David, Simon, my brother, the king",
        "person": "teacher > teachers, neighbor > neighbors, driver > drivers, farmer > farmers, "
        "nurse > nurses",
        "thing": "letter > letters, book > books, picture > pictures, bottle > bottles, "
        "table > tables, key > keys",
        "place": "garden > gardens, kitchen > kitchens, school > schools, church > churches, "
        "office > offices",
        "color": "red, green, yellow, white, blue",
        "trait": "tall > taller, young > younger, rich > richer, strong > stronger, kind > kinder",
        "act": "leave > leaving, sing > singing, swim > swimming, dance > dancing, read > reading",
        "did": "write > wrote > written, steal > stole > stolen, break > broke > broken, take > took > taken",
    },
    frames=frames("""
        + The {thing[1]} on the {thing2} are {color}.
        + The {thing} near the {thing2[1]} is {color}.
        - The {thing[1]} on the {thing2} is {color}.
        - The {thing} near the {thing2[1]} are {color}.
        - The {thing[1]} on {thing2} the are {color}.
        - {thing} the near the {thing2[1]} is {color}.

        + The {person} in the {place[1]} knows {name}.
        + The {person[1]} in the {place} know {name}.
        - The {person[1]} in the {place} knows {name}.
        - The {person} in {place} the knows {name}.
        - The {person[1]} the in {place} know {name}.

        + {woman} hurt herself in the {place}.
        + {man} hurt himself in the {place}.
        - {woman} hurt himself in the {place}.
        - {man} hurt herself in the {place}.
        - {woman} herself hurt in the {place}.
        - {man} hurt himself the in {place}.

        + {name} bought a {color} {thing}.
        + {name} sold the {color} {thing[1]}.
        - {name} bought a {thing} {color}.
        - {name} bought {color} a {thing}.
        - Bought {name} a {color} {thing}.
        - {name} the sold {color} {thing[1]}.

        + {name} wants to {act}.
        + {name} enjoys {act[1]}.
        + {name} decided to {act}.
        - {name} wants {act}.
        - {name} enjoys to {act[1]}.
        - {name} decided {act[1]}.
        - {name} to wants {act}.
        - {name} decided {act} to.

        + The {person} has {did[2]} the {thing}.
        + The {person} {did[1]} the {thing}.
        - The {person} has {did} the {thing}.
        - The {person} was {did[1]} the {thing}.
        - The {person} {did[2]} has the {thing}.
        - {person} the {did[1]} the {thing}.

        + The {thing} was {did[2]} by the {person}.
        + Who was the {thing} {did[2]} by?
        - The {thing} was {did} by the {person}.
        - The {thing} {did[2]} was by the {person}.
        - The {thing} was {did[2]} the by {person}.
        - Who the {thing} was by {did[2]}?

        + {name} put the {thing} in the {place}.
        + In the {place} stood a {thing}.
        - {name} put in the {place}.
        - {name} put the {thing}.
        - In the {place} put a {thing}.
        - {name} the {thing} put in the {place}.
        - The in {place} stood a {thing}.

        + {name} is {trait[1]} than {name2}.
        + {name} is as {trait} as {name2}.
        - {name} is {trait} than {name2}.
        - {name} is as {trait[1]} as {name2}.
        - {name} is more {trait[1]} than {name2}.
        - {name} {trait[1]} is than {name2}.
        - {name} is as as {trait} {name2}.

        + Has the {person} {did[2]} the {thing}?
        + Did the {person} {did} the {thing}?
        - Has {did[2]} the {person} the {thing}?
        - Did the {person} {did[1]} the {thing}?
        - Has the {person} the {did[2]} {thing}?
        - The {person} {did} did the {thing}?

        + What did {name} see in the {place}?
        + {name} wonders what you saw in the {place}.
        - What did {name} see the {thing} in the {place}?
        - {name} wonders what did you see in the {place}.
        - What {name} did see in the {place}?
        - What did see {name} the in {place}?

        + This {thing} belongs to {name}.
        + These {thing[1]} belong to {name}.
        - This {thing[1]} belong to {name}.
        - These {thing} belongs to {name}.
        - {thing} this belongs to {name}.
        - These {thing[1]} to belong {name}.

        + There is a {thing} in the {place}.
        + There are three {thing[1]} in the {place}.
        - There are a {thing} in the {place}.
        - There is three {thing} in the {place}.
        - There a {thing} is in the {place}.
        - There are {thing[1]} three in the {place}.

        + {name} gave the {person} a {thing}.
        + {name} explained the {thing} to the {person}.
        - {name} explained the {person} the {thing}.
        - {name} gave to a {thing} the {person}.
        - {name} gave {person} the a {thing}.
        - {name} explained to the {thing} the {person}.

        + {name} slept in the {place}.
        + The {person} disappeared from the {place}.
        - {name} slept the {place}.
        - The {person} disappeared the {thing}.
        - {name} in slept the {place}.
        - The {person} disappeared the from {place}.
    """),
)

_VALIDATION = Side(
    words={
        "name": "Grace, Henry, Sofia, Martin, Clara, Leo, Ruth",
        "woman": "Grace, Sofia, Clara, Ruth, the actress, my aunt",
        "man": "Henry, Martin, Leo, the waiter, my uncle",
        "person": "doctor > doctors, student > students, singer > singers, soldier > soldiers, "
        "baker > bakers",
        "thing": "chair > chairs, coat > coats, painting > paintings, ticket > tickets, lamp > lamps, "
        "box > boxes",
        "place": "hall > halls, station > stations, park > parks, hotel > hotels, museum > museums",
        "color": "black, brown, gray, orange, pink",
        "trait": "short > shorter, old > older, poor > poorer, weak > weaker, smart > smarter",
        "act": "run > running, travel > traveling, cook > cooking, paint > painting, write > writing",
        "did": "see > saw > seen, hide > hid > hidden, choose > chose > chosen, forget > forgot > forgotten",
    },
    frames=frames("""
        + The {person[1]} beside the {thing} are waiting.
        + The {person} beside the {thing[1]} is waiting.
        - The {person[1]} beside the {thing} is waiting.
        - The {person} beside the {thing[1]} are waiting.
        - The {person[1]} beside {thing} the are waiting.
        - The {person} the beside {thing[1]} is waiting.

        + Every {person} likes the {place}.
        + Most {person[1]} like the {place}.
        - Every {person} like the {place}.
        - Most {person} likes the {place}.
        - Every likes {person} the {place}.
        - Most {person[1]} the like {place}.

        + {woman} saw herself in the mirror.
        + {man} saw himself in the mirror.
        - {woman} saw himself in the mirror.
        - {man} saw herself in the mirror.
        - {woman} saw herself in mirror the.
        - {man} himself saw in the mirror.

        + We found an old {color} {thing} there.
        + The old {thing} is {color}.
        - We found an old {thing} {color} there.
        - We found {color} an old {thing} there.
        - Found we an old {color} {thing} there.
        - {thing} the old is {color}.

        + {name} hopes to {act} soon.
        + {name} stopped {act[1]} at noon.
        + {name} learned to {act}.
        - {name} hopes {act} soon.
        - {name} learned {act}.
        - {name} hopes to {act[1]} soon.
        - {name} hopes {act} to soon.
        - {name} {act[1]} stopped noon at.

        + Nobody had {did[2]} the {thing} before.
        + My friend {did[1]} the {thing} again.
        - Nobody had {did} the {thing} before.
        - My friend {did[2]} the {thing} again.
        - Nobody {did[2]} had the {thing} before.
        - Friend my {did[1]} the {thing} again.

        + The {thing[1]} were {did[2]} by {name}.
        + By whom were the {thing[1]} {did[2]}?
        - The {thing[1]} were {did} by {name}.
        - The {thing[1]} were by {name} {did}.
        - The {thing[1]} {did[2]} were by {name}.
        - Whom by were the {thing[1]} {did[2]}?

        + The {person} placed a {thing} on the floor.
        + The {person} ate in the {place}.
        - The {person} placed on the floor.
        - The {person} placed a {thing}.
        - The {person} a placed {thing} on the floor.
        - The {person} in ate the {place}.

        + My {person} is {trait[1]} than yours.
        + No {person} is as {trait} as {name}.
        - My {person} is {trait} than yours.
        - No {person} is as {trait[1]} as {name}.
        - My {person} {trait[1]} is than yours.
        - {person} no is as {trait} as {name}.

        + Why have you {did[2]} this {thing}?
        + Why did you {did} this {thing}?
        - Why have {did[2]} you this {thing}?
        - Why you did {did} this {thing}?
        - Why did you this {did} {thing}?
        - You why have {did[2]} this {thing}?

        + Which {thing} did the {person} want?
        + I know which {thing} the {person} wants.
        - Which {thing} did the {person} want the {thing2}?
        - I know which {thing} does the {person} want.
        - Which did {thing} the {person} want?
        - I know {thing} which the {person} wants.

        + Those {thing[1]} cost too much.
        + That {thing} costs too much.
        - Those {thing} costs too much.
        - That {thing[1]} cost too much.
        - {thing[1]} those cost too much.
        - That costs {thing} too much.

        + There was a {person} at the {place}.
        + There were many {person[1]} at the {place}.
        - There were a {person} at the {place}.
        - There was many {person} at the {place}.
        - There a {person} was at the {place}.
        - There were many {person[1]} the at {place}.

        + {name} sent {name2} a {thing}.
        + {name} described the {place} to {name2}.
        - {name} described {name2} the {place}.
        - {name} sent a {thing} {name2} to.
        - {name} sent {name2} {thing} a.
        - {name} described {place} the to {name2}.

        + {name} arrived at the {place}.
        + The {thing} fell from the roof.
        - {name} arrived the {place}.
        - {name} fell the {thing} from the roof.
        - {name} arrived the at {place}.
        - The {thing} fell from roof the.
    """),
)

GRAMMAR = Grammar(
    columns=("sentence",),
    labels=("unacceptable", "acceptable"),
    true="acceptable",
    share=0.62,
    train=_TRAIN,
    validation=_VALIDATION,
)
