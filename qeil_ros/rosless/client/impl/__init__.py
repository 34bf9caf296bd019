"""Parts of the client library that programs reach under rclpy's own module names."""
