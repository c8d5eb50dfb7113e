"""Results as files: written, recorded, read and checked; the models that they hold."""
