"""What programs report of themselves: declared counters, serving engines, training logs, TrainJobs."""
