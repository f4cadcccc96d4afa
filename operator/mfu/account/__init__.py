"""What it costs and whose the loss is: money per hour, token and step; node, namespace, product and fleet MFU."""
