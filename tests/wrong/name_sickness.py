"""answers, the names of the recorded runs: wrong and right ones."""

from collections.abc import Callable, Iterator, Mapping

from facegen.training.symptoms import HEALTHY, SICKNESSES, is_answer, recorded_letters


def right() -> dict[str, str]:
    names = (*SICKNESSES, HEALTHY)
    return {letter: next(name for name in names if is_answer(letter, name)) for letter in recorded_letters()}


def changed(change: Callable[[dict[str, str]], object]) -> Callable[[], object]:
    """The right answers, changed, as a function: they are looked up when the check asks."""
    return lambda: change(right())


class Answers(Mapping):
    """The right answers as a dictionary, looked up when they are read."""

    def __getitem__(self, letter: str) -> str:
        return right()[letter]

    def __iter__(self) -> Iterator[str]:
        return iter(right())

    def __len__(self) -> int:
        return len(right())


def mistaken(truth: str, claim: str) -> Callable[[], object]:
    """Right but for one run with the name `truth`."""

    def change(names: dict[str, str]) -> dict[str, str]:
        letter = next(letter for letter, name in names.items() if name == truth)
        return names | {letter: claim}

    return changed(change)


def half(names):
    return {letter: name for i, (letter, name) in enumerate(names.items()) if i % 2}


def first_changed(value):
    return lambda names: names | {next(iter(names)): value}


def nothing():
    right()


WRONG = [
    ("half", changed(half), "no name yet"),
    ("half, the others open", changed(lambda names: dict.fromkeys(names, "") | half(names)), "no name yet"),
    ("all healthy", changed(lambda names: dict.fromkeys(names, HEALTHY)), "something is wrong with it"),
    ("all the same", changed(lambda names: dict.fromkeys(names, "texture sticking")), "none moves here"),
    ("healthy for a tint", mistaken("colour shift", HEALTHY), "something is wrong with it: look at its last pictures"),
    ("D for G", mistaken("generator won", "discriminator won"), "D's logits end at"),
    ("G for D", mistaken("discriminator won", "generator won"), "D's logits end at"),
    ("D for nothing", mistaken(HEALTHY, "discriminator won"), "look at all of its curves and pictures again"),
    ("unrest for rest", mistaken("converged", "oscillation"), "that is not 'oscillation'"),
    ("rest for unrest", mistaken("oscillation", "converged"), "that is not 'converged'"),
    ("one face for few", mistaken("partial collapse", "mode collapse"), "times as much as training faces do"),
    ("few faces for many", mistaken(HEALTHY, "partial collapse"), "of the pairs of its last pictures look alike"),
    ("copies for new faces", mistaken(HEALTHY, "memorisation"), "that is not 'memorisation'"),
    ("spots for none", mistaken(HEALTHY, "droplet artefacts"), "the strongest spot in its pictures"),
    ("a tint for none", mistaken(HEALTHY, "colour shift"), "the mean colour of its last pictures"),
    ("other words", changed(first_changed("collapse")), "'collapse' is not one of mode collapse"),
    ("a number", changed(first_changed(3)), "not a value of type int"),
    ("another run", changed(lambda names: names | {"z": HEALTHY}), "there is no recorded run 'z'"),
    ("turned round", changed(lambda names: {name: letter for letter, name in names.items()}), "there is no recorded run"),
    ("twice", changed(lambda names: names | {next(iter(names)).upper(): HEALTHY}), "is named twice"),
    ("none", changed(lambda names: {}), "is not written yet"),
    ("a text", changed(lambda names: "mode collapse"), "answers is a str, expected a dictionary"),
    ("no return", nothing, "return statement missing"),
]


RIGHT = [
    ("a dictionary", Answers()),
    ("a function", right),
    ("capitals", changed(lambda names: {letter.upper(): name.title() for letter, name in names.items()})),
    ("spaces", changed(lambda names: {f" {letter} ": f"  {name.replace(' ', '  ')}. " for letter, name in names.items()})),
    ("underscores", changed(lambda names: {letter: name.replace(" ", "_") for letter, name in names.items()})),
    ("backwards", changed(lambda names: dict(reversed(names.items())))),
    (
        "american",
        changed(lambda names: {i: n.replace("isation", "ization").replace("colour", "color") for i, n in names.items()}),
    ),
]
