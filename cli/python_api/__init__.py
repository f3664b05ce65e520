"""What the module `hindcast` offers: the commands as functions over Python values, with results that hold frames."""
