"""Attributes of one table's rows, gathered into a sparse column for each key and type.

Most keys are old acquaintances: each key remembers its follower, so that a key is found by one
comparison. A key gets columns when it has been seen in ``PROMOTED_AT`` rows; until then its values lie in
a log that all keys share, so that a sender who makes up keys costs a few dozen bytes each. In the log stay
those values for ever that fit no column: repeated keys and attributes without a value.

Rows only grow: what a snapshot of n rows sees is the rows below n, however much is added later.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset, strlen

from tracestore.kernel.texts cimport (
    add_text, find_text, free_texts, grow, hash_bytes, intern, intern_hashed, prefetch, put,
    refuse_size, text_equals, text_size, text_start, texts_memory,
)
from tracestore.kernel.values cimport (
    BOOL_VALUE, COLUMN_TYPES, DOUBLE_VALUE, STRING_VALUE, TYPE_ANY, TYPE_BOOL, TYPE_BOOLS,
    TYPE_BYTES, TYPE_FLOAT, TYPE_INT, TYPE_KEY_VALUE, TYPE_NONE, TYPE_STRING, TYPE_STRINGS,
    Pair, Value, classify, free_pair, free_value, put_pair, put_value, read_pair, read_value,
    scalar_type,
)
from tracestore.kernel.wire cimport DEPTH_MAX, LENGTH, Field, next_field

cdef enum:
    PROMOTED_AT = 8  # rows; then the price of a column is in proportion to what was sent
    SIZE_MAX = 0x7FFFFFFF  # offsets of Arrow lists are int32


cdef void init_attributes(Attributes* a, const HashKey* hash_key) noexcept nogil:
    memset(a, 0, sizeof(Attributes))
    a.hash_key = hash_key[0]
    a.first_key = -1


cdef void begin_row(Attributes* a) noexcept nogil:
    a.sequence_size = 0
    a.pending_size = 0


cdef int32_t end_row(Attributes* a) except -2 nogil:
    """Get the number of the row's sequence of keys, -1 if there are fewer than two."""
    settle(a)
    if a.sequence_size < 2:
        return -1
    return intern(
        &a.hash_key, &a.shapes, <Wire>a.sequence, a.sequence_size * <int64_t>sizeof(int32_t)
    )


cdef int append_attribute(Attributes* a, int32_t row, Wire p, Wire end) except -1 nogil:
    """Take one KeyValue of the row at hand."""
    cdef Pair pair
    cdef int32_t key
    cdef bint is_lasting
    read_pair(p, end, &pair)
    try:
        key = number_key(a, pair.key, pair.key_end - pair.key)
        if a.sequence_size == a.sequence_capacity:
            grow(<void**>&a.sequence, &a.sequence_capacity, a.sequence_size + 1, sizeof(int32_t))
        a.sequence[a.sequence_size] = key
        a.sequence_size += 1
        if pair.key_index:
            a.scratch.size = 0
            put_pair(&a.scratch, p, end)
            return add(a, row, key, TYPE_KEY_VALUE, 0, a.scratch.data, a.scratch.size)
        if pair.value == NULL:
            return add(a, row, key, TYPE_NONE, 0, NULL, 0)
        is_lasting = pair.joined.data == NULL  # else the value lies in what is freed here
        return append_value(a, row, key, pair.value, pair.value_end, is_lasting)
    finally:
        free_pair(&pair)


cdef inline int append_value(
    Attributes* a, int32_t row, int32_t key, Wire p, Wire end, bint is_lasting
) except -1 nogil:
    cdef Value value
    cdef int64_t size
    cdef int type
    read_value(p, end, &value)
    try:
        if value.member == STRING_VALUE:
            size = value.end - value.data
            return add(a, row, key, TYPE_STRING, 0, value.data, size, is_lasting)
        if BOOL_VALUE <= value.member <= DOUBLE_VALUE:
            return add(a, row, key, scalar_type(value.member), value.number, NULL, 0)
        type = classify(&value)
        if type == TYPE_ANY:
            a.scratch.size = 0
            put_value(&a.scratch, p, end)
            return add(a, row, key, type, 0, a.scratch.data, a.scratch.size)
        if not has_payload(type):
            return add(a, row, key, type, value.number, NULL, 0)
        return add(a, row, key, type, 0, value.data, value.end - value.data)
    finally:
        free_value(&value)


cdef inline int32_t number_key(Attributes* a, Wire p, int64_t size) except -1 nogil:
    """Get the number of a key, guessing that it follows the one before it as it did last time."""
    cdef int32_t before = a.sequence[a.sequence_size - 1] if a.sequence_size else -1
    cdef int32_t key = a.keys[before].follower if before >= 0 else a.first_key
    if key >= 0 and text_equals(&a.key_texts, key, p, size):
        return key
    if a.key_texts.count == a.keys_capacity:
        grow(<void**>&a.keys, &a.keys_capacity, a.key_texts.count + 1, sizeof(Key))
    key = intern(&a.hash_key, &a.key_texts, p, size)
    if key == a.keys_known:
        a.keys[key].last_row = a.keys[key].follower = a.keys[key].column = -1
        a.keys[key].logged = -1
        a.keys[key].waiting = 0
        a.keys_known += 1
    if before >= 0:
        a.keys[before].follower = key
    else:
        a.first_key = key
    return key


cdef inline int add(
    Attributes* a,
    int32_t row,
    int32_t key,
    int type,
    uint64_t number,
    Wire data,
    int64_t size,
    bint is_lasting = False,
) except -1 nogil:
    """Put a value where it belongs.

    Args:
        data: text, bytes, JSON or an ArrayValue, by type.
        is_lasting: of a string: ``data`` stays where it is until the end of the row.
    """
    cdef Key* known = &a.keys[key]
    cdef bint repeats = known.last_row == row
    known.last_row = row
    if repeats or type >= COLUMN_TYPES:
        return add_entry(a, row, key, type, repeats, number, data, size)
    if known.column < 0:
        if known.waiting < PROMOTED_AT:
            return add_entry(a, row, key, type, False, number, data, size)
        promote(a, key)
    if is_lasting:
        return push_later(a, get_column(a, key, type), row, data, size)
    return push(&a.hash_key, &a.columns[get_column(a, key, type)], row, number, data, size)


cdef int add_entry(
    Attributes* a,
    int32_t row,
    int32_t key,
    int type,
    bint repeats,
    uint64_t number,
    Wire data,
    int64_t size,
) except -1 nogil:
    cdef Key* known = &a.keys[key]
    cdef uint32_t short_size = <uint32_t>size
    cdef Entry* entry
    if a.log_size == SIZE_MAX:
        return refuse_size()
    if a.log_size == a.log_capacity:
        grow(<void**>&a.log, &a.log_capacity, a.log_size + 1, sizeof(Entry))
    if has_payload(type):
        number = a.pool.size
        put(&a.pool, &short_size, sizeof(uint32_t))
        put(&a.pool, data, size)
    entry = &a.log[a.log_size]
    entry.row, entry.key, entry.type, entry.value = row, key, <uint8_t>type, number
    entry.repeats, entry.previous = repeats, known.logged
    entry.is_first = not repeats and type < COLUMN_TYPES
    if entry.is_first:
        known.logged = a.log_size
        known.waiting += 1
    a.log_size += 1
    return 0


cdef int promote(Attributes* a, int32_t key) except -1 nogil:
    """Give a key columns and move there what the log has of it."""
    cdef Key* known = &a.keys[key]
    cdef Entry entry
    cdef int32_t[PROMOTED_AT] entries
    cdef int32_t count = 0
    cdef int32_t at = known.logged
    cdef uint32_t size = 0
    cdef Wire data = NULL
    while at >= 0:
        entries[count] = at
        count += 1
        at = a.log[at].previous
    try:
        while count > 0:
            entry = a.log[entries[count - 1]]
            if has_payload(entry.type):
                memcpy(&size, a.pool.data + entry.value, sizeof(uint32_t))
                data = a.pool.data + entry.value + sizeof(uint32_t)
            at = get_column(a, key, entry.type)
            push(&a.hash_key, &a.columns[at], entry.row, entry.value, data, size)
            count -= 1
        known.logged = -1
        known.waiting = 0
    finally:
        if count:  # no memory: all stays in the log
            abandon_columns(a, key)
    return 0


cdef void abandon_columns(Attributes* a, int32_t key) noexcept nogil:
    cdef int32_t at = a.keys[key].column
    while at >= 0:
        a.columns[at].size = 0
        at = a.columns[at].next
    a.keys[key].column = -1


cdef inline int32_t get_column(Attributes* a, int32_t key, int type) except -1 nogil:
    """Find the column of a key and type, or make it, behind the older ones of the key."""
    cdef SparseColumn* column
    cdef int32_t last = -1
    cdef int32_t at = a.keys[key].column
    while at >= 0:
        if a.columns[at].type == type:
            return at
        last = at
        at = a.columns[at].next
    if a.columns_size == a.columns_capacity:
        grow(<void**>&a.columns, &a.columns_capacity, a.columns_size + 1, sizeof(SparseColumn))
    at = a.columns_size
    column = &a.columns[at]
    memset(column, 0, sizeof(SparseColumn))
    column.key, column.type, column.next = key, type, -1
    if last >= 0:
        a.columns[last].next = at
    else:
        a.keys[key].column = at
    a.columns_size += 1
    return at


cdef inline int push_later(
    Attributes* a, int32_t number, int32_t row, Wire data, int64_t size
) except -1 nogil:
    """Append a string of which only the hash is looked at now, while its slot is on its way here.

    Dictionaries are larger than the caches: the strings of a row are settled together.
    """
    cdef SparseColumn* c = &a.columns[number]
    cdef Pending* pending
    if a.pending_size == PENDING_MAX:
        settle(a)
    if c.size == c.capacity:
        grow_column(c)
    pending = &a.pending[a.pending_size]
    pending.column, pending.at, pending.data, pending.size = number, c.size, data, size
    pending.hash = hash_bytes(&a.hash_key, data, size) >> 32
    if c.texts.slots != NULL:
        prefetch(&c.texts.slots[pending.hash & c.texts.mask])
    c.rows[c.size] = row
    c.codes[c.size] = 0
    c.size += 1
    a.pending_size += 1
    return 0


cdef int settle(Attributes* a) except -1 nogil:
    """Give the pending strings their numbers."""
    cdef Pending* pending
    cdef SparseColumn* c
    cdef uint32_t number
    cdef int32_t i
    for i in range(a.pending_size):
        c = &a.columns[a.pending[i].column]
        if c.texts.slots != NULL:
            number = <uint32_t>c.texts.slots[a.pending[i].hash & c.texts.mask]
            if number:
                prefetch(&c.texts.ends[number - 1])
    for i in range(a.pending_size):
        pending = &a.pending[i]
        c = &a.columns[pending.column]
        c.codes[pending.at] = intern_hashed(&c.texts, pending.hash, pending.data, pending.size)
    a.pending_size = 0
    return 0


cdef inline int push(
    const HashKey* hash_key, SparseColumn* c, int32_t row, uint64_t value, Wire data, int64_t size
) except -1 nogil:
    """Append a value to a column."""
    if c.size == c.capacity:
        grow_column(c)
    c.rows[c.size] = row
    if c.type == TYPE_STRING or c.type == TYPE_ANY:
        c.codes[c.size] = intern(hash_key, &c.texts, data, size)
    elif c.type == TYPE_INT or c.type == TYPE_FLOAT:
        c.wide[c.size] = value
    elif c.type == TYPE_BOOL:
        c.bools[c.size] = value != 0
    elif c.type == TYPE_BYTES:
        add_text(&c.texts, data, size)
    else:
        push_items(c, data, data + size)
        c.wide[c.size] = c.texts.count if c.type == TYPE_STRINGS else c.items_size
    c.size += 1
    return 0


cdef int grow_column(SparseColumn* c) except -1 nogil:
    cdef int64_t capacity = c.capacity
    cdef int64_t needed = <int64_t>c.size + 1
    if c.type == TYPE_STRING or c.type == TYPE_ANY:
        grow(<void**>&c.codes, &capacity, needed, sizeof(int32_t))
    elif c.type == TYPE_BOOL:
        grow(<void**>&c.bools, &capacity, needed, 1)
    elif c.type != TYPE_BYTES:
        grow(<void**>&c.wide, &capacity, needed, sizeof(uint64_t))
    capacity = c.capacity
    grow(<void**>&c.rows, &capacity, needed, sizeof(int32_t))
    c.capacity = capacity
    return 0


cdef int push_items(SparseColumn* c, Wire p, Wire end) except -1 nogil:
    """Append the elements of an ArrayValue, which all have the member that the column's type says."""
    cdef Field field
    cdef Value element
    while p < end:
        p = next_field(p, end, DEPTH_MAX, &field)
        if p == NULL:
            return 0
        if field.wire_type != LENGTH or field.number != 1:
            continue
        read_value(field.data, field.end, &element)
        free_value(&element)  # the members that come here are no joined ones
        if c.type == TYPE_STRINGS:
            if element.member != STRING_VALUE:  # the bytes changed since they were classified
                continue
            add_text(&c.texts, element.data, element.end - element.data)
        else:
            if c.items_size == SIZE_MAX:
                return refuse_size()
            if c.items_size == c.items_capacity:
                grow(<void**>&c.items, &c.items_capacity, c.items_size + 1, sizeof(uint64_t))
            c.items[c.items_size] = element.number
            c.items_size += 1
    return 0


cdef Wire first_string(Attributes* a, int32_t row, const char* key, int64_t* size) noexcept nogil:
    """Get the value that ``key`` has first in the last row, NULL if that is no string."""
    cdef int32_t number = find_text(&a.hash_key, &a.key_texts, <Wire>key, strlen(key))
    cdef SparseColumn* c
    cdef Entry* entry
    cdef uint32_t short_size
    cdef int32_t at
    if number < 0:
        return NULL
    at = a.keys[number].column
    while at >= 0:
        c = &a.columns[at]
        if c.type == TYPE_STRING and c.size and c.rows[c.size - 1] == row:
            size[0] = text_size(&c.texts, c.codes[c.size - 1])
            return text_start(&c.texts, c.codes[c.size - 1])
        at = c.next
    at = a.keys[number].logged
    if at < 0:
        return NULL
    entry = &a.log[at]
    if entry.row != row or entry.type != TYPE_STRING:
        return NULL
    memcpy(&short_size, a.pool.data + entry.value, sizeof(uint32_t))
    size[0] = short_size
    return a.pool.data + entry.value + sizeof(uint32_t)


cdef bint row_has(Attributes* a, int32_t row, const char* key, const char* text) noexcept nogil:
    """Tell whether the last row has this string under ``key``, first or repeated."""
    cdef int64_t size = 0
    cdef uint32_t short_size
    cdef Wire found = first_string(a, row, key, &size)
    cdef int64_t wanted = strlen(text)
    cdef int32_t number
    cdef int32_t at = a.log_size - 1
    if found != NULL and size == wanted and memcmp(found, text, wanted) == 0:
        return True
    if at < 0 or a.log[at].row != row:
        return False
    number = find_text(&a.hash_key, &a.key_texts, <Wire>key, strlen(key))
    while at >= 0 and a.log[at].row == row:
        if a.log[at].key == number and a.log[at].type == TYPE_STRING:
            found = a.pool.data + a.log[at].value
            memcpy(&short_size, found, sizeof(uint32_t))
            if short_size == wanted and memcmp(found + sizeof(uint32_t), text, wanted) == 0:
                return True
        at -= 1
    return False


cdef int truncate_attributes(Attributes* a, int32_t rows) except -1 nogil:
    """Forget the rows from ``rows`` on. Dictionaries keep what they learnt."""
    cdef SparseColumn* c
    cdef Key* known
    cdef int32_t i
    for i in range(a.keys_known):
        a.keys[i].last_row = -1
    for i in range(a.columns_size):
        c = &a.columns[i]
        c.size = lower_bound(c.rows, c.size, rows)
        if c.type == TYPE_BYTES:
            c.texts.count = c.size
        elif c.type == TYPE_STRINGS:
            c.texts.count = <int32_t>c.wide[c.size - 1] if c.size else 0
        elif TYPE_STRINGS < c.type <= TYPE_BOOLS:
            c.items_size = c.wide[c.size - 1] if c.size else 0
    while a.log_size and a.log[a.log_size - 1].row >= rows:
        a.log_size -= 1
        known = &a.keys[a.log[a.log_size].key]
        if known.logged == a.log_size:
            known.logged = a.log[a.log_size].previous
            known.waiting -= 1
    a.sequence_size = 0
    a.pending_size = 0
    return 0


cdef int64_t attributes_memory(const Attributes* a) noexcept nogil:
    cdef const SparseColumn* c
    cdef int64_t bytes = texts_memory(&a.key_texts) + texts_memory(&a.shapes)
    cdef int32_t i
    bytes += a.keys_capacity * sizeof(Key) + a.log_capacity * sizeof(Entry) + a.pool.capacity
    bytes += a.columns_capacity * sizeof(SparseColumn) + a.scratch.capacity
    bytes += a.sequence_capacity * sizeof(int32_t)
    for i in range(a.columns_size):
        c = &a.columns[i]
        bytes += c.capacity * sizeof(int32_t) + c.items_capacity * sizeof(uint64_t)
        bytes += texts_memory(&c.texts)
        if c.wide != NULL:
            bytes += c.capacity * sizeof(uint64_t)
        if c.codes != NULL:
            bytes += c.capacity * sizeof(int32_t)
        if c.bools != NULL:
            bytes += c.capacity
    return bytes


cdef void free_attributes(Attributes* a) noexcept nogil:
    cdef SparseColumn* c
    cdef int32_t i
    for i in range(a.columns_size):
        c = &a.columns[i]
        free(c.rows)
        free(c.wide)
        free(c.codes)
        free(c.bools)
        free(c.items)
        free_texts(&c.texts)
    free(a.columns)
    free(a.keys)
    free(a.log)
    free(a.pool.data)
    free(a.sequence)
    free(a.scratch.data)
    free_texts(&a.key_texts)
    free_texts(&a.shapes)
    memset(a, 0, sizeof(Attributes))
