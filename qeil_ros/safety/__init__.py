"""What keeps the robot inside its limits, and answering: limits, link, modes, permission, who answers a
frame.

Pure: time and readings come in as arguments, decisions go out as values; the same input gives the same
output. No clock, thread, file, socket or ROS may enter, and of ours only `planning` and the types of
`platform`.
"""
