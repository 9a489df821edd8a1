"""SST-2: opinions of films, most of them plain, some turned round by negation or contrast."""

from __future__ import annotations

from tasks.bundled.grammar import Grammar, Side, frames

_TRAIN = Side(
    words={
        "film": "film, comedy, thriller, documentary, sequel, drama, romance, remake",
        "part": "plot, cast, ending, script, acting, opening scene, camera work, final hour",
        "pos": "charming, moving, brilliant, delightful, clever, gripping, funny, wonderful, fresh, "
        "touching, superb, engaging, exciting, smart, heartfelt, amusing, beautiful, "
        "remarkable, tender, dazzling, satisfying, lively",
        "neg": "dull, clumsy, boring, tedious, awful, predictable, lifeless, silly, shallow, messy, "
        "bland, annoying, confusing, weak, ridiculous, terrible, cheap, repetitive, unfunny, "
        "tired, cold, pretentious",
        "praise": "kept me smiling, made my whole week, left me wanting more, won my heart, "
        "is worth every penny, had the whole room laughing, stays with you for days, "
        "earns every tear, had me on the edge of my seat, is a treat for the eyes, "
        "gets better every minute, is an instant classic, makes you glad to be alive",
        "complaint": "put me to sleep, wasted my evening, gave me a headache, made me want a refund, "
        "falls flat, goes nowhere, had the whole room yawning, insults its audience, "
        "drags on forever, is a waste of money, made me walk out, gets worse every minute, "
        "is an embarrassment",
    },
    frames=frames("""
        + the {film} {praise} .
        + a {pos} and {pos2} {film} that {praise} .
        + the {part} {praise} .
        + {pos} , {pos2} and {pos3} .
        + with its {pos} {part} , the {film} {praise} .
        + i found it {pos} , and my friends thought it {pos2} .
        + what a {pos} {film} !
        + the {part} is {pos} from start to finish .
        + the {part} alone {praise} .
        + you will want to tell your friends about this {pos} {film} .
        + no other {film} this year is so {pos} .
        + i would gladly sit through this {film} again .
        + if only every {film} were this {pos} .
        + a {film} with a {pos} {part} and a big heart .
        + the director has made a {pos} {film} that {praise} .
        - the {film} {complaint} .
        - a {neg} and {neg2} {film} that {complaint} .
        - the {part} {complaint} .
        - {neg} , {neg2} and {neg3} .
        - with its {neg} {part} , the {film} {complaint} .
        - i found it {neg} , and my friends thought it {neg2} .
        - what a {neg} {film} !
        - the {part} is {neg} from start to finish .
        - the {part} alone {complaint} .
        - you will want to warn your friends about this {neg} {film} .
        - no other {film} this year is so {neg} .
        - i would never sit through this {film} again .
        - spare yourself a {film} this {neg} .
        - a {film} with a {neg} {part} and an empty heart .
        - the director has made a {neg} {film} that {complaint} .

        + far from {neg} , this {film} {praise} .
        + there is nothing {neg} about this {film} .
        + it is not at all {neg} .
        + the {part} never feels {neg} .
        + it looks {neg} at first , but the {film} {praise} .
        + the {part} may be {neg} , yet the {film} is {pos} .
        + my fears of a {neg} {part} were unfounded .
        + the {part} is anything but {neg} .
        - far from {pos} , this {film} {complaint} .
        - there is nothing {pos} about this {film} .
        - it is not at all {pos} .
        - the {part} never feels {pos} .
        - it looks {pos} at first , but the {film} {complaint} .
        - the {part} may be {pos} , yet the {film} is {neg} .
        - my hopes for a {pos} {part} were crushed .
        - the {part} is anything but {pos} .
    """),
)

_VALIDATION = Side(
    words={
        "film": "movie, western, musical, cartoon, mystery, adventure, biography",
        "part": "story, dialogue, soundtrack, direction, humor, pacing, lead performance",
        "pos": "hilarious, thoughtful, stunning, graceful, witty, absorbing, lovely, inventive, "
        "warm, powerful, elegant, enjoyable, magnificent, splendid, uplifting, terrific",
        "neg": "dreary, tiresome, dreadful, stale, forgettable, incoherent, lazy, painful, "
        "pointless, ugly, sloppy, hollow, lousy, irritating, disappointing, miserable",
        "praise": "brightened my day, touched me deeply, deserves an award, is a feast for the senses, "
        "captured my imagination, had us clapping at the end, never puts a foot wrong, "
        "is pure magic, sparkles with life, lingers in the memory, surpassed my hopes",
        "complaint": "bored me to tears, tested my patience, deserves its empty seats, "
        "is a mess from top to bottom, lost me after ten minutes, had us groaning at the end, "
        "never gets going, is pure torture, sinks like a stone, is best forgotten, "
        "ruined my night",
    },
    frames=frames("""
        + i have rarely seen a {film} so {pos} .
        + this {pos} {film} {praise} .
        + the {part} could not be more {pos} .
        + thanks to its {pos} {part} , it {praise} .
        + go and see it for the {pos} {part} .
        + i did not want this {pos} {film} to end .
        + one {pos} surprise after another .
        + a {film} to treasure , with a {part} that {praise} .
        + as {pos} as it is {pos2} , the {film} {praise} .
        + both the {part} and the {part2} are {pos} .
        + my children loved its {pos} {part} .
        + here is a {film} whose {part} {praise} .
        + truly {pos} .
        - i have rarely seen a {film} so {neg} .
        - this {neg} {film} {complaint} .
        - the {part} could not be more {neg} .
        - thanks to its {neg} {part} , it {complaint} .
        - stay at home and be spared the {neg} {part} .
        - i could not wait for this {neg} {film} to end .
        - one {neg} cliche after another .
        - a {film} to avoid , with a {part} that {complaint} .
        - as {neg} as it is {neg2} , the {film} {complaint} .
        - both the {part} and the {part2} are {neg} .
        - my children hated its {neg} {part} .
        - here is a {film} whose {part} {complaint} .
        - truly {neg} .

        + hardly a {neg} moment in the whole {film} .
        + this is no {neg} {film} .
        + what could have been {neg} {praise} .
        + nobody in the room found it {neg} .
        + the {film} has a {neg} title but a {pos} {part} .
        + after a {neg} first half , the {film} {praise} .
        + reports that the {part} is {neg} are nonsense .
        - hardly a {pos} moment in the whole {film} .
        - this is no {pos} {film} .
        - what could have been {pos} {complaint} .
        - nobody in the room found it {pos} .
        - the {film} has a {pos} title but a {neg} {part} .
        - after a {pos} first half , the {film} {complaint} .
        - reports that the {part} is {pos} are nonsense .
    """),
)

GRAMMAR = Grammar(
    columns=("sentence",),
    labels=("negative", "positive"),
    true="positive",
    share=0.52,
    train=_TRAIN,
    validation=_VALIDATION,
    cased=False,
)
