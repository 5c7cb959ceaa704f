"""Draws tables, JSON and command lines that once raised an exception."""

from fuzz.failed import of


@of("csv")
def two_bytes_of_utf_16() -> bytes:
    return b"\xff\xfe"


@of("csv")
def a_table_of_other_columns() -> bytes:
    return b"a,b\n1,2\n"


@of("csv")
def a_row_cut_short() -> bytes:
    columns = b"split,position,id,group,label,height,width,ignored,c0,c1"
    return columns + b"\ntrain,0,im0"


@of("csv")
def a_step_that_is_no_number() -> bytes:
    return b'step,epoch,loss\n0,0,1\na"b",1,1\n'


@of("csv")
def a_cell_of_140_000_letters() -> bytes:
    return b"stem,split\nim0,train\n" + b"x" * 140_000 + b",test\n"


@of("csv")
def a_header_of_140_000_letters() -> bytes:
    return b"x" * 140_000


@of("csv")
def a_quote_that_never_ends() -> bytes:
    columns = b"split,position,id,group,label,height,width,ignored,c0,c1"
    return columns + b'\ntrain,0,im0,g,0,0,"a,0,0,0\ntrain,1,im1,g,0,0,a,0,0,0\n'


@of("json")
def lists_in_lists() -> bytes:
    return b"[" * 100_000


@of("json")
def dicts_in_dicts() -> bytes:
    return b'{"a":' * 100_000


@of("json")
def a_number_of_5_000_digits() -> bytes:
    return b"9" * 5000


@of("json")
def bytes_that_are_no_text() -> bytes:
    return b"{!\xba"


@of("json")
def a_card_cut_short() -> bytes:
    return b'{"name": "toy", "sp'


@of("overrides")
def a_block_with_a_number_for_a_key() -> bytes:
    return b"--config.model.unet={1: 2}"


@of("overrides")
def a_module_that_is_false() -> bytes:
    return b"--config.loss.mine.weight=1.0\n--config.loss.mine.module=false"


@of("overrides")
def a_fraction_where_names_belong() -> bytes:
    return b"--config.doctor.ignore=0.5"


@of("overrides")
def an_open_block_with_a_number_for_a_key() -> bytes:
    return b"--config.model.fields={1: 2}"


@of("overrides")
def one_number_where_two_belong() -> bytes:
    return b"--config.mix.erase_area=(1,)"


@of("overrides")
def a_name_with_a_dot_where_one_value_belongs() -> bytes:
    return b'--config.loss.cross_entropy.class_weights={"a.b": 1}'


@of("overrides")
def a_name_with_a_dot_in_an_open_block() -> bytes:
    return b'--config.data.options={"a": {"b.c": 1}}'


@of("overrides")
def a_recipe_whose_name_no_file_can_have() -> bytes:
    return b"--config=" + b"a" * 5000


@of("overrides")
def a_path_that_no_file_can_have() -> bytes:
    return b"--config=" + b"a" * 300 + b"/a.py"


@of("overrides")
def a_flag_of_a_thousand_characters() -> bytes:
    return b"-e" + b"9" * 1000
