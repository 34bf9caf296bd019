"""A vision model in parts: the agent part on the robot, the server part off it, the local part in need.

A model is a folder: `model.yaml` says what goes in, where it is cut and how its output reads; its parts are
ONNX files. `folder` reads and checks it, `runtime` and `parts` run it, `tasks` reads its output, `create`
makes one; `pipeline` is the robot's half of the work for a frame, `engine` and `batcher` the server's.
Arrays and files only: no ROS, no clock, no network may enter; torch only where models are exported.
"""
