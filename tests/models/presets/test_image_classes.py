"""Names of the classes of pretrained image models."""

from zoo.models.presets.image_classes import name_classes, read_imagenet_names


def test_names_of_imagenet():
    names = read_imagenet_names()
    assert len(set(names)) == 1000 and (names[0], names[134]) == ("tench", "crane (134)")


def test_names_are_the_model_s_own_or_those_of_imagenet_or_numbers():
    assert name_classes(2, ("a", "b")) == (("a", "b"), "")
    names, note = name_classes(1000, ("a", "b"))
    assert names == read_imagenet_names() and "ImageNet" in note
    assert name_classes(3, ("a", "b")) == (
        ("0", "1", "2"),
        "the 3 classes have no names, only numbers",
    )
