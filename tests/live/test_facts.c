/* SPDX-License-Identifier: Apache-2.0 */

/* core/facts on a real caller: this very process. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/facts.h"
#include "live.h"

/*
 * A thread that takes a name away and puts it back must not get two chances: what was judged
 * without a name would be made under one.
 */
static void name_is_read_once(void **state)
{
	struct facts_source source = {0};
	struct facts facts;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct filter_call call = {
		.call = CALL_MEMFD_CREATE,
		.address = (uintptr_t)page,
	};

	(void)state;
	assert_ptr_not_equal(page, MAP_FAILED);
	strcpy(page, "denied");
	assert_return_code(tracee_cache_new(&source.cache), errno);

	assert_return_code(mprotect(page, 4096, PROT_NONE), errno);
	facts_start(&facts, &source, gettid(), &call);
	assert_int_equal(facts_fetch(&facts, FACT_NAME), -EFAULT);
	assert_return_code(mprotect(page, 4096, PROT_READ), errno);
	assert_int_equal(facts_fetch(&facts, FACT_NAME), -EFAULT);
	assert_false(facts.call.known & FACT_NAME);

	/* The next call is another matter. */
	facts_start(&facts, &source, gettid(), &call);
	assert_int_equal(facts_fetch(&facts, FACT_NAME), 0);
	assert_string_equal(facts.call.name, "denied");

	tracee_cache_free(source.cache);
	munmap(page, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_is_read_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
