"""The names of the classes of pretrained image models."""

from etils import epy

from zoo.models.presets.image_settings import find_folder, read_config

with epy.lazy_imports():
    import keras_hub

_IMAGENET_CLASSES = 1000


def read_imagenet_names() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1,000 classes, which KerasHub has."""
    return make_unique([*map(keras_hub.utils.imagenet_id_to_name, range(_IMAGENET_CLASSES))])


def make_unique(names: list[str]) -> tuple[str, ...]:
    """Returns names of classes, with the number of the class after a name that others have too.

    Of ImageNet's classes two are called crane, a bird and a machine.
    """
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name for number, name in enumerate(names)
    )


def read_class_names(preset: str) -> tuple[str, ...]:
    """Returns the names of classes in the config.json of a folder, or none."""
    folder = find_folder(preset)
    config = read_config(folder) if folder else {}
    labels = config.get("id2label") or {}
    own = [str(labels[number]) for number in sorted(labels, key=int)]
    return make_unique(own or list(map(str, config.get("label_names") or ())))


def name_classes(count: int, own_names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Returns the names of the classes of a head, and a note if they are not its own."""
    if len(own_names) == count:
        return own_names, ""
    if count == _IMAGENET_CLASSES:
        note = f"the names of the {count:,} classes are those of ImageNet, as KerasHub has them"
        return read_imagenet_names(), note
    return tuple(map(str, range(count))), f"the {count:,} classes have no names, only numbers"
