//! Real links between zones: zone file to traffic shaping, faults and partitions at run time.
