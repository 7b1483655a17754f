"""What ``EdgeStore`` holds of a request, and what it is told of a span."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    SIDE_CLIENT = 1
    SIDE_SERVER = 2
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4  # kinds of OTLP
    CONSUMER = 5
    ERROR = 2  # status
    NONE = -1
    BLOCK = 32  # spans whose slots are fetched together


cdef struct Key:
    uint64_t high  # of the trace ID
    uint64_t low
    uint64_t span  # client's span ID, which is the server's parent
    uint64_t is_root  # kind of a server without parent: it has a key of its own, by its own ID


cdef struct Edge:
    Key key
    int64_t born
    double client_seconds
    double server_seconds
    double multiplier
    uint64_t client_end
    uint64_t server_start
    int32_t client  # number of a text, 0: not known
    int32_t server
    int32_t peer  # -1: none
    int32_t older  # place of the neighbours by age
    int32_t newer
    uint8_t connection
    uint8_t failed
    uint8_t sides
    uint8_t last_side
    uint8_t kind  # of the span that came first
    uint8_t dropped  # a filter has left out a side: the other goes too
    uint8_t message_sides  # those that are a producer or consumer


cdef struct Side:  # a span as one side of a request
    Key key
    uint64_t hash  # of the key
    double seconds
    double multiplier
    uint64_t time_ns  # end of a client, start of a server
    int32_t service
    int32_t peer  # -1: none
    int32_t database  # of a client: what it calls; 0: none
    uint8_t is_client
    uint8_t kind
    uint8_t failed
    uint8_t dropped
