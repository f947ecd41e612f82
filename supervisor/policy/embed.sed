# Turns text into C: a string literal of each line, and what makes a definition of them.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
1i\
#include "policy/draft.h"\
const char policy_default_text[] =
$a\
;
