"""The service definitions that nodes need; recordings, and so the message store, carry none."""

from __future__ import annotations

SERVICES = {
    "diagnostic_msgs/srv/AddDiagnostics": "string load_namespace\n---\nbool success\nstring message\n",
    "diagnostic_msgs/srv/SelfTest": "---\nstring id\nbyte passed\nDiagnosticStatus[] status\n",
    "example_interfaces/srv/AddTwoInts": "int64 a\nint64 b\n---\nint64 sum\n",
    "example_interfaces/srv/SetBool": "bool data\n---\nbool success\nstring message\n",
    "example_interfaces/srv/Trigger": "---\nbool success\nstring message\n",
    "lifecycle_msgs/srv/ChangeState": "Transition transition\n---\nbool success\n",
    "lifecycle_msgs/srv/GetAvailableStates": "---\nState[] available_states\n",
    "lifecycle_msgs/srv/GetAvailableTransitions": "---\nTransitionDescription[] available_transitions\n",
    "lifecycle_msgs/srv/GetState": "---\nState current_state\n",
    "nav_msgs/srv/GetMap": "---\nnav_msgs/OccupancyGrid map\n",
    "nav_msgs/srv/GetPlan": (
        "geometry_msgs/PoseStamped start\ngeometry_msgs/PoseStamped goal\nfloat32 tolerance\n"
        "---\nnav_msgs/Path plan\n"
    ),
    "nav_msgs/srv/LoadMap": (
        "string map_url\n---\n"
        "uint8 RESULT_SUCCESS=0\nuint8 RESULT_MAP_DOES_NOT_EXIST=1\nuint8 RESULT_INVALID_MAP_DATA=2\n"
        "uint8 RESULT_INVALID_MAP_METADATA=3\nuint8 RESULT_UNDEFINED_FAILURE=255\n"
        "nav_msgs/OccupancyGrid map\nuint8 result\n"
    ),
    "nav_msgs/srv/SetMap": (
        "nav_msgs/OccupancyGrid map\ngeometry_msgs/PoseWithCovarianceStamped initial_pose\n"
        "---\nbool success\n"
    ),
    "rcl_interfaces/srv/DescribeParameters": "string[] names\n---\nParameterDescriptor[] descriptors\n",
    "rcl_interfaces/srv/GetLoggerLevels": "string[] names\n---\nLoggerLevel[] levels\n",
    "rcl_interfaces/srv/GetParameterTypes": "string[] names\n---\nuint8[] types\n",
    "rcl_interfaces/srv/GetParameters": "string[] names\n---\nParameterValue[] values\n",
    "rcl_interfaces/srv/ListParameters": (
        "uint64 DEPTH_RECURSIVE=0\nstring[] prefixes\nuint64 depth\n---\nListParametersResult result\n"
    ),
    "rcl_interfaces/srv/SetLoggerLevels": "LoggerLevel[] levels\n---\nSetLoggerLevelsResult[] results\n",
    "rcl_interfaces/srv/SetParameters": "Parameter[] parameters\n---\nSetParametersResult[] results\n",
    "rcl_interfaces/srv/SetParametersAtomically": "Parameter[] parameters\n---\nSetParametersResult result\n",
    "sensor_msgs/srv/SetCameraInfo": (
        "sensor_msgs/CameraInfo camera_info\n---\nbool success\nstring status_message\n"
    ),
    "std_srvs/srv/Empty": "---\n",
    "std_srvs/srv/SetBool": "bool data\n---\nbool success\nstring message\n",
    "std_srvs/srv/Trigger": "---\nbool success\nstring message\n",
    "tf2_msgs/srv/FrameGraph": "---\nstring frame_yaml\n",
    "type_description_interfaces/srv/GetTypeDescription": (
        "string type_name\nstring type_hash\nbool include_type_sources true\n---\n"
        "bool successful\nstring failure_reason\nTypeDescription type_description\n"
        "TypeSource[] type_sources\nKeyValue[] extra_information\n"
    ),
}
