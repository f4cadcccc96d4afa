"""The cluster as it is and as we change it: informers, snapshot building, apply writer, lease, events."""
