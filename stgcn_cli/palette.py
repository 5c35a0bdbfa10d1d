"""The colours of skeletons, on light and on dark ground: left and right of each person, and what is in the middle."""

PERSONS = (  # left, right, middle; a further person begins again
    ("#d9622b", "#2a78c0", "#7a7f87"),
    ("#b0489b", "#1d9484", "#a59a80"),
)


def in_words(persons: int) -> str:
    """Which colour is which side, for people."""
    return "Left is orange, right is blue" + ("; of another person purple and green." if persons > 1 else ".")


def of_person(person: int) -> dict[str, str]:
    """The colours of a person by side."""
    left, right, middle = PERSONS[person % len(PERSONS)]
    return {"left": left, "right": right, "": middle}
