// Fetching memory early, for the lookups that go through large tables.
#ifndef INGOT_TEXT_PREFETCH_H
#define INGOT_TEXT_PREFETCH_H

// Asks the processor for memory that will be read soon.
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

#endif
