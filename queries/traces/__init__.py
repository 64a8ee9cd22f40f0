"""Why a question was answered as it was: recorded, explained, and asked again to compare."""
