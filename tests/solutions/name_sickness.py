"""answers, the names of the recorded runs: more wrong ones, and right ones that are written in other ways."""

from collections.abc import Iterator, Mapping

from exercises.evaluation.name_sickness import changed, mistaken, names
from facegen.training.symptoms import HEALTHY


class Answers(Mapping):
    """The right answers as a dictionary, looked up when they are read."""

    def __getitem__(self, letter: str) -> str:
        return names()[letter]

    def __iter__(self) -> Iterator[str]:
        return iter(names())

    def __len__(self) -> int:
        return len(names())


def half(right):
    return {letter: name for i, (letter, name) in enumerate(right.items()) if i % 2}


def first(value):
    return changed(lambda right: right | {next(iter(right)): value})


RIGHT = [
    ("a dictionary", Answers()),
    ("a function", names),
    ("capitals", changed(lambda right: {letter.upper(): name.title() for letter, name in right.items()})),
    ("spaces", changed(lambda right: {f" {letter} ": f"  {name.replace(' ', '  ')}. " for letter, name in right.items()})),
    ("underscores", changed(lambda right: {letter: name.replace(" ", "_") for letter, name in right.items()})),
    ("hyphens", changed(lambda right: {letter: name.replace(" ", "-") for letter, name in right.items()})),
    ("backwards", changed(lambda right: dict(reversed(right.items())))),
    (
        "american",
        changed(lambda right: {i: n.replace("isation", "ization").replace("colour", "color") for i, n in right.items()}),
    ),
]

WRONG = [
    ("half", changed(half), "no name yet"),
    ("half, the others open", changed(lambda right: dict.fromkeys(right, "") | half(right)), "no name yet"),
    ("all healthy", changed(lambda right: dict.fromkeys(right, HEALTHY)), "something is wrong with it"),
    ("all the same", changed(lambda right: dict.fromkeys(right, "texture sticking")), "none moves here"),
    ("D for G", mistaken("generator won", "discriminator won"), "D's logits end at"),
    ("G for D", mistaken("discriminator won", "generator won"), "D's logits end at"),
    ("unrest for rest", mistaken("converged", "oscillation"), "that is not 'oscillation'"),
    ("rest for unrest", mistaken("oscillation", "converged"), "that is not 'converged'"),
    ("one face for few", mistaken("partial collapse", "mode collapse"), "times as far apart as training faces do"),
    ("few faces for one", mistaken("mode collapse", "partial collapse"), "100% of the pairs of its last pictures look alike"),
    ("copies for new faces", mistaken(HEALTHY, "memorisation"), "that is not 'memorisation'"),
    ("spots for none", mistaken(HEALTHY, "droplet artefacts"), "have a spot of one colour"),
    ("a tint for none", mistaken(HEALTHY, "colour shift"), "the mean colour of its last pictures"),
    ("unrest for one face", mistaken("mode collapse", "oscillation"), "another sign is plainer"),
    ("a number", first(3), "not a value of type int"),
    ("two names", first(["converged", HEALTHY]), "not a value of type list"),
    ("turned round", changed(lambda right: {name: letter for letter, name in right.items()}), "there is no recorded run"),
    ("twice", changed(lambda right: right | {next(iter(right)).upper(): HEALTHY}), "is named twice"),
    ("a list of names", changed(lambda right: list(right.values())), "it is a list, expected a dictionary"),
    ("one short of a word", changed(lambda right: {i: n.split()[0] for i, n in right.items()}), "is not one of"),
    ("only dots", changed(lambda right: dict.fromkeys(right, ...)), "is not written yet"),
    ("a text", changed(lambda right: "mode collapse"), "it is a str, expected a dictionary"),
    ("no return", lambda: None, "return statement missing"),
]
