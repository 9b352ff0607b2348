"""The built-in models: importing a module here registers its builders."""

from zoo.models import bag, bert, cnn, lenet, mlp, recurrent, resnet, transformer, vgg

__all__ = ["bag", "bert", "cnn", "lenet", "mlp", "recurrent", "resnet", "transformer", "vgg"]
