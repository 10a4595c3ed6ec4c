module example/run-in-bivy

go 1.19
