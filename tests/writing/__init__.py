"""Nothing is lost in writing, whatever fails on the way: kills, faults, a full disk, power loss by order."""
