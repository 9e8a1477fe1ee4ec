"""The council: language models write sentences on a day's figures; a program checks each before anybody reads it."""
