"""Three robots and their servers, started once for all tests in here, and their faults."""
