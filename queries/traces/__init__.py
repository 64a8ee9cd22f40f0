"""Why a question was answered as it was: kept, explained, asked again and compared."""
