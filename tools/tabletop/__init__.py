"""Training, export, scoring and recording of the default model, the tabletop captioner.

Needs torch and onnx, which the package itself never does. The scenes and their grammar live in
`qeil_ros.models.tabletop`, where users of the package can draw them too.
"""
