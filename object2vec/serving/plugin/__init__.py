"""The endpoints that the model server is given: Java source, the jar built from it, its builder."""
