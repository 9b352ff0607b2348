"""What TF Serving needs beside a model, and what talks to it."""
