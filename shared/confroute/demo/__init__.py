"""The demonstration behind `confroute demo`: its questions, its stand-in cloud, its run and its report."""
