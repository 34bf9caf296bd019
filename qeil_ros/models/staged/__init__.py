"""A network placed on several devices, really run: cut into stages, one process a device, tensors shared.

`place` says where a stage can run (a runtime, its device, the cores it may use); `program` cuts a network to
an assignment of its blocks; `chain` runs the stages in this process; `crew` gives each device a process of
its own, so that a dead device is a dead process: it is noticed, its stages go to the others, which hold them
ready, and it comes back by stages. `staged` puts another placement in a running one's place.
"""
