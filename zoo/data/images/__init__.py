"""Images: files, decoding, augmentation."""
