"""What stands before the model server's Python workers: Java source, its jar and its builder."""
