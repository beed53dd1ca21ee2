"""Object stores and web servers that run on this machine, and a proxy in front of them that injects faults.

The fixtures are in `fixtures`; everything else works without pytest, too, such as in benchmarks. ``programs`` starts and ends server programs;
``s3``, ``gcs``, ``azure`` and ``http`` are the servers, each with the options of its store in obstore; ``proxy`` adds latency, limits and
``faults``; ``listing`` makes up buckets of millions of objects; ``credentials`` gives out keys that expire.
"""
