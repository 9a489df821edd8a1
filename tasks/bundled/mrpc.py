"""MRPC: news sentences said again in other words, or with a role, a number, a day or a fact changed."""

from __future__ import annotations

from tasks.bundled.grammar import Grammar, Side, frames

_TRAIN = Side(
    words={
        "firm": "Intel, Boeing, Nestle, Siemens, Nokia, Pfizer, Toyota, Shell, Disney, Adobe",
        "name": "Miller, Cooper, Bennett, Fisher, Morgan, Palmer, Turner, Walsh, Hayes, Doyle",
        "city": "Boston, Paris, Chicago, Madrid, Dallas, Berlin, Sydney, Denver",
        "day": "Monday, Tuesday, Wednesday, Thursday, Friday",
        "number": "three, six, eight, twelve, fifteen, twenty, forty",
        "team": "the Tigers, the Eagles, the Bears, the Rangers, the Pirates, the Kings",
    },
    frames=frames("""
        {firm} bought {firm2} for {number} million dollars.
        + {firm2} was acquired by {firm} for {number} million dollars.
        + {firm} paid {number} million dollars to acquire {firm2}.
        - {firm2} bought {firm} for {number} million dollars.
        - {firm} bought {firm2} for {number2} million dollars.
        - {firm} sold {firm2} for {number} million dollars.

        Minister {name} resigned on {day}.
        + Minister {name} stepped down on {day}.
        + On {day}, minister {name} quit.
        - Minister {name} was appointed on {day}.
        - Minister {name} resigned on {day2}.

        {name} said the talks in {city} had failed.
        + The talks in {city} had failed, according to {name}.
        + {name} said negotiations in {city} had collapsed.
        - {name} denied that the talks in {city} had failed.
        - {name} said the talks in {city} had succeeded.

        Shares of {firm} fell {number} percent on {day}.
        + {firm} stock dropped {number} percent on {day}.
        + On {day}, shares of {firm} lost {number} percent.
        - Shares of {firm} rose {number} percent on {day}.
        - Shares of {firm} fell {number2} percent on {day}.

        Police arrested {number} men in {city}.
        + {number} men were arrested by police in {city}.
        + Police in {city} took {number} men into custody.
        - Police released {number} men in {city}.
        - Police arrested {number} men in {city2}.
        - Police arrested {number2} men in {city}.

        {team} beat {team2} on {day} night.
        + {team2} lost to {team} on {day} night.
        + {team2} were defeated by {team} on {day} night.
        - {team2} beat {team} on {day} night.
        - {team} lost to {team2} on {day} night.

        {firm} will open a new factory in {city}.
        + A new factory will be opened by {firm} in {city}.
        + {firm} plans to open a new plant in {city}.
        - {firm} will close a factory in {city}.
        - {firm} will open a new factory in {city2}.

        The fire in {city} killed {number} people.
        + {number} people died in the fire in {city}.
        + The blaze in {city} left {number} people dead.
        - The fire in {city} killed nobody.
        - {number} people escaped from the fire in {city}.
        - The fire in {city} killed {number2} people.

        {name} was born in {city} and studied in {city2}.
        + Born in {city}, {name} went to university in {city2}.
        - {name} was born in {city2} and studied in {city}.

        Judge {name} delayed the trial until {day}.
        + The trial was postponed until {day} by judge {name}.
        + Judge {name} put off the trial until {day}.
        - Judge {name} ended the trial on {day}.
        - Judge {name} delayed the trial until {day2}.

        {name} wrote the report and {name2} checked it.
        + The report was written by {name} and checked by {name2}.
        + {name2} checked the report that {name} wrote.
        - {name2} wrote the report and {name} checked it.
        - {name} checked the report that {name2} wrote.

        {firm} cut {number} hundred jobs in {city}.
        + {number} hundred workers in {city} lost their jobs at {firm}.
        + {firm} laid off {number} hundred workers in {city}.
        - {firm} created {number} hundred jobs in {city}.
        - {firm2} cut {number} hundred jobs in {city}.

        The storm reached {city} on {day}.
        + On {day}, the storm hit {city}.
        + The storm arrived in {city} on {day}.
        - The storm left {city} on {day}.
        - The storm missed {city} on {day}.

        Mayor {name} supports the new tax.
        + Mayor {name} is in favor of the new tax.
        + The new tax has the backing of mayor {name}.
        - Mayor {name} opposes the new tax.
        - Mayor {name} has no opinion on the new tax.

        The maker recalled {number} thousand cars because of faulty brakes.
        + {number} thousand cars with faulty brakes were called back.
        + Because of bad brakes, {number} thousand cars were recalled.
        - The maker recalled {number} thousand cars because of faulty lights.
        - The maker sold {number} thousand cars with new brakes.

        Scientists in {city} discovered a new planet.
        + A new planet was found by researchers in {city}.
        + Researchers in {city} found an unknown planet.
        - Scientists in {city} discovered a new virus.
        - Scientists in {city2} discovered a new planet.

        {name} won the election in {city}.
        + Voters in {city} elected {name}.
        + The election in {city} was won by {name}.
        - {name} lost the election in {city}.
        - {name} called off the election in {city}.

        Snow closed the airport in {city}.
        + The airport in {city} was shut because of snow.
        + In {city}, no plane could leave because of snow.
        - The airport in {city} stayed open in spite of snow.
        - A strike closed the airport in {city}.

        The price of oil rose on {day}.
        + Oil became more expensive on {day}.
        + On {day}, oil prices went up.
        - The price of oil fell on {day}.
        - The price of gold rose on {day}.

        {name} apologized for the mistake.
        + {name} said sorry for the error.
        + {name} made an apology for the error.
        - {name} refused to apologize for the mistake.
        - {name} repeated the mistake.

        Thousands marched through {city} against the war.
        + A march against the war drew thousands in {city}.
        + Thousands of people protested against the war in {city}.
        - Thousands marched through {city} in support of the war.
        - Thousands fled from {city} because of the war.

        A driver was hurt when a bus hit a tree in {city}.
        + A bus ran into a tree in {city} and the driver was injured.
        + A bus crashed into a tree in {city}, injuring its driver.
        - A driver was unhurt when a bus hit a tree in {city}.
        - A driver was hurt when a tree fell on a bus in {city}.
    """),
)

_VALIDATION = Side(
    words={
        "firm": "Apple, Ford, Philips, Sony, Oracle, Volvo, Bayer, Lego, Renault",
        "name": "Parker, Watson, Foster, Howard, Jordan, Wallace, Porter, Griffin, Lambert",
        "city": "London, Vienna, Seattle, Lisbon, Houston, Geneva, Toronto, Atlanta",
        "month": "January, March, April, June, August, October",
        "number": "two, four, five, nine, ten, thirty, sixty",
        "team": "the Lions, the Dragons, the Giants, the Wolves, the Falcons, the Saints",
    },
    frames=frames("""
        {firm} sued {firm2} in {month}.
        + In {month}, {firm} took {firm2} to court.
        + {firm2} was sued by {firm} in {month}.
        - {firm2} sued {firm} in {month}.
        - {firm} sued {firm2} in {month2}.

        Profits at {firm} doubled to {number} billion euros.
        + {firm} saw its profits double to {number} billion euros.
        + {firm} made {number} billion euros, twice as much as before.
        - Profits at {firm} were halved to {number} billion euros.
        - Profits at {firm} doubled to {number2} billion euros.

        Senator {name} voted against the law.
        + Senator {name} did not support the law in the vote.
        + The law was rejected by senator {name}.
        - Senator {name} voted for the law.
        - Senator {name} did not vote against the law.

        A bomb injured {number} soldiers near {city}.
        + {number} soldiers were hurt by a bomb near {city}.
        + A bomb wounded {number} soldiers near {city}.
        - A bomb injured {number2} soldiers near {city}.
        - A bomb injured {number} soldiers near {city2}.

        {team} won the final against {team2}.
        + {team2} lost the final to {team}.
        + {team2} were beaten by {team} in the final.
        - {team} lost the final to {team2}.
        - {team2} won the final against {team}.

        {name} replaced {name2} as head of {firm}.
        + {name} took over from {name2} as head of {firm}.
        + {name2} was succeeded by {name} as head of {firm}.
        - {name2} replaced {name} as head of {firm}.
        - {name} was succeeded by {name2} as head of {firm}.

        The museum in {city} will reopen in {month}.
        + In {month}, the museum in {city} opens its doors again.
        + The {city} museum is to be open again in {month}.
        - The museum in {city} will close in {month}.
        - The museum in {city} will reopen in {month2}.

        {firm} raised the price of its cars by {number} percent.
        + Cars from {firm} became {number} percent more expensive.
        + {firm} increased its car prices by {number} percent.
        - {firm} lowered the price of its cars by {number} percent.
        - {firm} raised the price of its cars by {number2} percent.

        Doctor {name} left {city} for {city2}.
        + Doctor {name} moved from {city} to {city2}.
        + Doctor {name} went from {city} to {city2}.
        - Doctor {name} left {city2} for {city}.
        - Doctor {name} stayed in {city} instead of {city2}.

        The court in {city} found {name} guilty.
        + {name} was convicted by the court in {city}.
        + A {city} court ruled that {name} was guilty.
        - The court in {city} found {name} innocent.
        - The court in {city} set {name} free.

        The earthquake destroyed {number} houses in {city}.
        + {number} houses in {city} were destroyed by the earthquake.
        + In {city}, {number} homes collapsed in the earthquake.
        - The earthquake spared {number} houses in {city}.
        - The earthquake destroyed {number2} houses in {city}.

        {name} denied the report about {firm}.
        + According to {name}, the report about {firm} was false.
        + {name} said the report about {firm} was not true.
        - {name} confirmed the report about {firm}.
        - {name} said the report about {firm} was true.

        The strike at {firm} began in {month}.
        + Workers at {firm} went on strike in {month}.
        + In {month}, the strike at {firm} started.
        - The strike at {firm} ended in {month}.
        - Workers at {firm} called off a strike in {month}.

        Actress {name} received an award in {city}.
        + An award was given to actress {name} in {city}.
        + In {city}, actress {name} was honored with a prize.
        - Actress {name} handed out an award in {city}.
        - Actress {name} refused an award in {city}.

        The bridge near {city} collapsed in {month}.
        + In {month}, the bridge near {city} fell down.
        + The bridge near {city} came down in {month}.
        - The bridge near {city} was built in {month}.
        - The bridge near {city} was repaired in {month}.

        Farmers near {city} fear a poor harvest.
        + A bad harvest is feared by farmers near {city}.
        + Farmers near {city} worry that crops will be poor.
        - Farmers near {city} expect a rich harvest.
        - Farmers near {city} fear wolves.

        Many children in {city} cannot read.
        + In {city}, lots of children are unable to read.
        + Many children in {city} do not know how to read.
        - Few children in {city} cannot read.
        - Many children in {city} like to read.
    """),
)

GRAMMAR = Grammar(
    columns=("sentence1", "sentence2"),
    labels=("not_equivalent", "equivalent"),
    true="equivalent",
    share=0.62,
    train=_TRAIN,
    validation=_VALIDATION,
    unrelated=0.65,
    given="sentence1",
)
