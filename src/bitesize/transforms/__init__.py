"""Transforms: arithmetic on a View that says where each pixel comes from; one kernel then touches the pixels."""
