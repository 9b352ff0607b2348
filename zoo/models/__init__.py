"""The built-in models: importing a module here registers its builders."""

from zoo.models import cnn, lenet, mlp, resnet, vgg

__all__ = ["cnn", "lenet", "mlp", "resnet", "vgg"]
