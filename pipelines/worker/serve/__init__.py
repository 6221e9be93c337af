"""The Open Inference Protocol v2: a worker's models for clients nobody here wrote.

    rpc (gRPC) \\
                >  service  ->  ticket  ->  the worker's loop (the very batcher of the lanes)
    rest (HTTP)/      |
                  repository, regions

`service` knows neither wire; `tensor` checks a request against the model; a `ticket` is one request as a small lane.
"""
