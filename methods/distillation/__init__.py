"""Methods that train a smaller student from a teacher."""
