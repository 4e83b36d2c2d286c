"""A backbone cut in two, and the step of a user's LightningModule run on it."""
